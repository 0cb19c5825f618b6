import type { Rules } from './rules.ts'
import { type Part, valuesOf } from './schema-document.ts'
import { SchemaError } from './schema-error.ts'
import { countLimits, times } from './schema-limits.ts'

/** Undefined if no string fulfils all of the parts. Throws SchemaError. */
export function stringBody(rules: Rules, parts: readonly Part[]): string | undefined {
  const { min, max } = countLimits(parts, 'minLength', 'maxLength')
  if (max < min) return undefined
  for (const { pointer } of [...valuesOf(parts, 'pattern'), ...valuesOf(parts, 'format')]) throw new SchemaError(pointer, 'This keyword is not supported.')
  if (min === 0 && max === Number.POSITIVE_INFINITY) return rules.json('string')
  return max === 0 ? '"\\"\\""' : `"\\"" ${rules.json('character')}${times(min, max)} "\\""`
}
