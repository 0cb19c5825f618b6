import type { GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import type { SlotRequest } from './slots.ts'

/** What a request of the contract waits for its slot with. */
export function slotRequest({ team, weight, batch, tokens }: Pick<GenerateRequest, 'team' | 'weight' | 'batch' | 'tokens'>): SlotRequest {
  return { team, weight: weight === 0 ? 1 : weight, batch, tokens }
}
