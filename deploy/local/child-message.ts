import { Check } from 'typebox/schema'
import type { FromService } from '../../services/shared/supervision.ts'

const schema = {
  anyOf: [
    {
      type: 'object',
      required: ['type', 'ports'],
      properties: { type: { const: 'listening' }, ports: { type: 'object', additionalProperties: { type: 'integer' } } },
    },
    { type: 'object', required: ['type'], properties: { type: { enum: ['ready', 'alive'] } } },
    { type: 'object', required: ['type', 'what'], properties: { type: { const: 'atRisk' }, what: { type: 'string' } } },
    { type: 'object', required: ['type', 'message'], properties: { type: { const: 'fatal' }, message: { type: 'string' } } },
  ],
} as const

/** What a service tells its launcher; undefined for anything else that comes over the channel. */
export function asFromService(message: unknown): FromService | undefined {
  return Check(schema, message) ? message : undefined
}
