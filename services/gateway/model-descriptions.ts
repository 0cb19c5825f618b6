import { type ModelDescription, TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Peer } from '../shared/rpc/lane-client.ts'

/** What the model files say of themselves, as the tokenizer has read them. */
export interface ModelDescriptions {
  /** Asks once, and again only after a failure: what a file says does not change while it is served. Throws UNAVAILABLE. */
  all(signal: AbortSignal): Promise<ReadonlyMap<string, ModelDescription>>
}

const timeoutMs = 10_000

/** `contextLength`: what the workers of a model hold in a slot, which may be less than the tokenizer knows of. */
export function createModelDescriptions(tokenizer: Peer, contextLength: (model: string) => number | undefined): ModelDescriptions {
  let known: ReadonlyMap<string, ModelDescription> | undefined
  return {
    async all(signal) {
      if (known !== undefined) return bounded(known)
      const { models } = await tokenizer.unary(TokenizerService.describe, {}, { requestId: '', signal, timeoutMs })
      if (models.length === 0) throw new ServiceError('UNAVAILABLE', 'no_model', 'No model is loaded at the moment. Try again soon.', { retryAfterMs: 2000 })
      known = new Map(models.map((model) => [model.id, model]))
      return bounded(known)
    },
  }

  function bounded(models: ReadonlyMap<string, ModelDescription>): ReadonlyMap<string, ModelDescription> {
    return new Map([...models].map(([id, model]) => [id, { ...model, contextLength: Math.min(model.contextLength, contextLength(id) ?? model.contextLength) }]))
  }
}
