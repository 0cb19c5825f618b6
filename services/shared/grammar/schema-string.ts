import { parseRegex, RegexError } from './regex.ts'
import type { Rules } from './rules.ts'
import { type Found, type Part, valuesOf } from './schema-document.ts'
import { SchemaError } from './schema-error.ts'
import { countLimits, times } from './schema-limits.ts'
import { numberFormats, stringFormats } from './string-formats.ts'
import { patternBody } from './string-pattern.ts'

/** Undefined if no string fulfils all of the parts. Throws SchemaError. */
export function stringBody(rules: Rules, parts: readonly Part[]): string | undefined {
  const lengths = countLimits(parts, 'minLength', 'maxLength')
  const { min, max } = lengths
  if (max < min) return undefined
  const patterns = patternsOf(parts)
  const [first] = patterns
  if (first !== undefined) {
    let at = first.pointer
    try {
      const parsed = patterns.map(({ text, pointer }) => {
        at = pointer
        return parseRegex(text)
      })
      at = first.pointer
      const body = patternBody(rules, parsed, lengths)
      return body === undefined ? undefined : `"\\"" ${body} "\\""`
    } catch (thrown) {
      throw thrown instanceof RegexError ? new SchemaError(at, thrown.message) : thrown
    }
  }
  if (min === 0 && max === Number.POSITIVE_INFINITY) return rules.json('string')
  return max === 0 ? '"\\"\\""' : `"\\"" ${rules.json('character')}${times(min, max)} "\\""`
}

/** Refuses formats that are not known, or not for these types. */
export function checkFormats(parts: readonly Part[], strings: boolean, numbers: boolean): void {
  for (const { value, pointer } of valuesOf(parts, 'format')) {
    if (typeof value !== 'string') throw new SchemaError(pointer, 'Must be a string.')
    if ((strings && stringFormats.has(value)) || (numbers && numberFormats.has(value))) continue
    throw new SchemaError(
      pointer,
      `This format is not supported for this type; supported are ${[...stringFormats.keys()].join(', ')} for strings and ${[...numberFormats.keys()].join(', ')} for numbers.`,
    )
  }
}

function patternsOf(parts: readonly Part[]): { text: string; pointer: string }[] {
  const formats = valuesOf(parts, 'format').filter(({ value }) => typeof value === 'string' && stringFormats.has(value))
  const all: { text: string; pointer: string }[] = []
  for (const { value, pointer } of [...valuesOf(parts, 'pattern'), ...formats.map(formatPattern)]) {
    if (typeof value !== 'string') throw new SchemaError(pointer, 'Must be a string.')
    if (!all.some(({ text }) => text === value)) all.push({ text: value, pointer })
  }
  return all
}

function formatPattern({ value, pointer }: Found): Found {
  return { value: stringFormats.get(String(value)), pointer }
}
