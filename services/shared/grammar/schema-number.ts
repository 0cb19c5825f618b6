import type { Rules } from './rules.ts'
import { type Part, valuesOf } from './schema-document.ts'
import { SchemaError } from './schema-error.ts'

/** Undefined if no number fulfils all of the parts. Throws SchemaError. */
export function numberBody(rules: Rules, parts: readonly Part[], integer: boolean): string | undefined {
  for (const keyword of ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']) {
    for (const { pointer } of valuesOf(parts, keyword)) throw new SchemaError(pointer, 'This keyword is not supported.')
  }
  return rules.json(integer ? 'integer' : 'number')
}
