import { createWork, type Work } from './language.ts'
import { parseRegex, type Regex, RegexError } from './regex.ts'
import type { Rules } from './rules.ts'
import { type Found, type Part, valuesOf } from './schema-document.ts'
import { SchemaError } from './schema-error.ts'
import { countLimits, times } from './schema-limits.ts'
import { numberFormats, stringFormats } from './string-formats.ts'
import { type Lengths, patternBody } from './string-pattern.ts'

export interface StringContext {
  readonly rules: Rules
  readonly work: Work
  /** What was made of patterns and lengths before: many fields have the same. */
  readonly bodies: Map<string, string | undefined>
}

export function createStringContext(rules: Rules): StringContext {
  return { rules, work: createWork(), bodies: new Map() }
}

/** Undefined if no string fulfils all of the parts. Throws SchemaError. */
export function stringBody(context: StringContext, parts: readonly Part[]): string | undefined {
  const { rules } = context
  const lengths = countLimits(parts, 'minLength', 'maxLength')
  const { min, max } = lengths
  if (max < min) return undefined
  const patterns = patternsOf(parts)
  if (patterns.length > 0) {
    const body = knownBody(context, patterns, lengths)
    return body === undefined ? undefined : `"\\"" ${body} "\\""`
  }
  if (min === 0 && max === Number.POSITIVE_INFINITY) return rules.json('string')
  return max === 0 ? '"\\"\\""' : `"\\"" ${rules.json('character')}${times(min, max)} "\\""`
}

function knownBody({ rules, work, bodies }: StringContext, patterns: readonly Pattern[], lengths: Lengths): string | undefined {
  const key = JSON.stringify([patterns.map(({ text }) => text), lengths.min, lengths.max])
  if (bodies.has(key)) return bodies.get(key)
  let at = patterns[0]?.pointer ?? ''
  try {
    const parsed: Regex[] = []
    for (const { text, pointer } of patterns) {
      at = pointer
      parsed.push(parseRegex(text))
    }
    const body = patternBody(rules, parsed, lengths, work)
    bodies.set(key, body)
    return body
  } catch (thrown) {
    throw thrown instanceof RegexError ? new SchemaError(at, thrown.message) : thrown
  }
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

interface Pattern {
  readonly text: string
  readonly pointer: string
}

function patternsOf(parts: readonly Part[]): Pattern[] {
  const formats = valuesOf(parts, 'format').filter(({ value }) => typeof value === 'string' && stringFormats.has(value))
  const all: Pattern[] = []
  for (const { value, pointer } of [...valuesOf(parts, 'pattern'), ...formats.map(formatPattern)]) {
    if (typeof value !== 'string') throw new SchemaError(pointer, 'Must be a string.')
    if (!all.some(({ text }) => text === value)) all.push({ text: value, pointer })
  }
  return all
}

function formatPattern({ value, pointer }: Found): Found {
  return { value: stringFormats.get(String(value)), pointer }
}
