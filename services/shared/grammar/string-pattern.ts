/** GBNF for the JSON strings that a regular expression matches and that have so many characters. */
import { intersectRanges } from './code-points.ts'
import type { CodePointRange } from './expression.ts'
import { type Regex, RegexError } from './regex.ts'
import { choice, literal, type Rules } from './rules.ts'
import { times } from './schema-limits.ts'

export interface Lengths {
  readonly min: number
  readonly max: number
}

/** Any character, in any spelling. */
interface AnyCharacter {
  readonly kind: 'any'
}

type Item = Regex | AnyCharacter | { readonly kind: 'repeat'; readonly body: AnyCharacter; readonly min: number; readonly max: number }

/** What may stand between the quotes; undefined if nothing. Throws RegexError. */
export function patternBody(rules: Rules, regex: Regex, lengths: Lengths): string | undefined {
  const bodies: string[] = []
  for (const option of alternatives(regex)) {
    const fitting = fit(anchored(option), lengths)
    if (fitting !== undefined) bodies.push(fitting.map((item) => spell(rules, item)).join(' ') || '""')
  }
  return bodies.length === 0 ? undefined : choice(bodies)
}

function alternatives(regex: Regex): Regex[][] {
  if (regex.kind === 'choice') return regex.options.flatMap(alternatives)
  if (regex.kind !== 'sequence') return [[regex]]
  const [only] = regex.items
  return regex.items.length === 1 && only !== undefined ? alternatives(only) : [[...regex.items]]
}

/** What is not tied to the beginning or the end of the text may have anything there. */
function anchored(items: readonly Regex[]): Item[] {
  const anything: Item = { kind: 'repeat', body: { kind: 'any' }, min: 0, max: Number.POSITIVE_INFINITY }
  let from = 0
  let to = items.length
  while (items[from]?.kind === 'start') from++
  while (to > from && items[to - 1]?.kind === 'end') to--
  const inner: Item[] = items.slice(from, to)
  if (from === 0) inner.unshift(anything)
  if (to === items.length) inner.push(anything)
  return inner
}

/** The items so that the text has as many characters as it should; undefined if it can't. */
function fit(items: readonly Item[], { min, max }: Lengths): readonly Item[] | undefined {
  const all = items.map(lengthOf)
  const shortest = all.reduce((sum, length) => sum + length.min, 0)
  const longest = all.reduce((sum, length) => sum + length.max, 0)
  if (shortest >= min && longest <= max) return items
  if (shortest > max || longest < min) return undefined
  const varying = items.filter((_, index) => all[index]?.min !== all[index]?.max)
  const [item] = varying
  const unit = item?.kind === 'repeat' ? lengthOf(item.body) : undefined
  if (item?.kind !== 'repeat' || varying.length > 1 || unit === undefined || unit.min !== unit.max || unit.min === 0) {
    throw new RegexError('Together with minLength or maxLength only patterns are supported in which one repetition varies; say the lengths in the pattern.')
  }
  const fixed = shortest - item.min * unit.min
  const least = Math.max(item.min, Math.ceil((min - fixed) / unit.min))
  const most = Math.min(item.max, Math.floor((max - fixed) / unit.min))
  if (least > most) return undefined
  const fitted: Item = { ...item, min: least, max: most }
  return items.map((other) => (other === item ? fitted : other))
}

function lengthOf(item: Item): Lengths {
  switch (item.kind) {
    case 'any':
    case 'set':
      return { min: 1, max: 1 }
    case 'sequence': {
      const all = item.items.map(lengthOf)
      return { min: all.reduce((sum, { min }) => sum + min, 0), max: all.reduce((sum, { max }) => sum + max, 0) }
    }
    case 'choice': {
      const all = item.options.map(lengthOf)
      return { min: Math.min(...all.map(({ min }) => min)), max: Math.max(...all.map(({ max }) => max)) }
    }
    case 'repeat': {
      const { min, max } = lengthOf(item.body)
      return { min: min * item.min, max: max === 0 ? 0 : max * item.max }
    }
    default:
      throw new RegexError('"^" is only supported at the beginning of a pattern or alternative, and "$" at its end.')
  }
}

function spell(rules: Rules, item: Item): string {
  switch (item.kind) {
    case 'any':
      return rules.json('character')
    case 'set':
      return spellSet(item.ranges)
    case 'sequence':
      return `(${item.items.map((part) => spell(rules, part)).join(' ')})`
    case 'choice':
      return choice(item.options.map((option) => spell(rules, option)))
    case 'repeat':
      return item.max === 0 ? '""' : `(${spell(rules, item.body)})${times(item.min, item.max)}`
    default:
      throw new RegexError('"^" is only supported at the beginning of a pattern or alternative, and "$" at its end.')
  }
}

const plain: readonly CodePointRange[] = [
  { low: 0x20, high: 0x21 },
  { low: 0x23, high: 0x5b },
  { low: 0x5d, high: 0x10_ffff },
]
const escaped: readonly CodePointRange[] = [
  { low: 0x00, high: 0x1f },
  { low: 0x22, high: 0x22 },
  { low: 0x5c, high: 0x5c },
]

/** Characters in a JSON string: as they are, or escaped as JSON.stringify does where they must be. */
function spellSet(ranges: readonly CodePointRange[]): string {
  const options: string[] = []
  const open = intersectRanges(ranges, plain)
  if (open.length > 0) options.push(`[${open.map(({ low, high }) => (low === high ? codePoint(low) : `${codePoint(low)}-${codePoint(high)}`)).join('')}]`)
  for (const { low, high } of intersectRanges(ranges, escaped)) {
    for (let code = low; code <= high; code++) options.push(literal(JSON.stringify(String.fromCharCode(code)).slice(1, -1)))
  }
  if (options.length === 0) throw new RegexError('A character class has no characters.')
  return choice(options)
}

function codePoint(code: number): string {
  return `\\U${code.toString(16).padStart(8, '0')}`
}
