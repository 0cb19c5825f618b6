/** GBNF for the JSON strings that regular expressions match and that have so many characters. */
import { intersectRanges, normaliseRanges } from './code-points.ts'
import type { CodePointRange } from './expression.ts'
import { combine, languageOf, languageOfLength, type Work } from './language.ts'
import { type Alternative, anchoredAlternatives, type Item } from './pattern-items.ts'
import { type Regex, RegexError } from './regex.ts'
import { choice, literal, type Rules } from './rules.ts'
import { times } from './schema-limits.ts'

export interface Lengths {
  readonly min: number
  readonly max: number
}

/** What may stand between the quotes; undefined if nothing. Throws RegexError. */
export function patternBody(rules: Rules, patterns: readonly Regex[], lengths: Lengths, work: Work): string | undefined {
  const [only] = patterns
  const alternatives = patterns.length === 1 && only !== undefined ? anchoredAlternatives(only) : []
  const simple = alternatives.length > 0 && alternatives.every(({ looks, items }) => looks.length === 0 && canFit(items, lengths))
  return simple ? alternativesBody(rules, alternatives, lengths) : languageBody(rules, patterns, lengths, work)
}

/** As a rule for each state of what the patterns have in common. */
function languageBody(rules: Rules, patterns: readonly Regex[], { min, max }: Lengths, work: Work): string | undefined {
  const languages = patterns.map((pattern) => languageOf(pattern, work))
  if (min > 0 || max < Number.POSITIVE_INFINITY) languages.push(languageOfLength(min, max, work))
  const { states } = languages.reduce((a, b) => combine(a, b, (inA, inB) => inA && inB, work))
  if (states.every(({ accepts }) => !accepts)) return undefined
  const names = states.map(() => rules.reserve('text'))
  for (const [index, { accepts, edges }] of states.entries()) {
    const options = accepts ? ['""'] : []
    for (const [target, ranges] of Map.groupBy(edges, ({ target }) => target)) {
      options.push(`${spellSet(normaliseRanges(ranges))} ${names[target] ?? ''}`)
    }
    rules.define(names[index] ?? '', options.join(' | '))
  }
  return names[0]
}

function alternativesBody(rules: Rules, alternatives: readonly Alternative[], lengths: Lengths): string | undefined {
  const bodies: string[] = []
  for (const { items } of alternatives) {
    const fitting = fit(items, lengths)
    if (fitting !== undefined) bodies.push(fitting.map((item) => spell(rules, item)).join(' ') || '""')
  }
  return bodies.length === 0 ? undefined : choice(bodies)
}

/** Whether the lengths can be had by counting one repetition. */
function canFit(items: readonly Item[], { min, max }: Lengths): boolean {
  const all = items.map(lengthOf)
  if (sum(all.map((length) => length.min)) >= min && sum(all.map((length) => length.max)) <= max) return true
  const varying = items.filter((_, index) => all[index]?.min !== all[index]?.max)
  const [item] = varying
  if (item?.kind !== 'repeat') return varying.length === 0
  const unit = lengthOf(item.body)
  return varying.length === 1 && unit.min === unit.max && unit.min > 0
}

/** The items so that the text has as many characters as it should; undefined if it can't. */
function fit(items: readonly Item[], { min, max }: Lengths): readonly Item[] | undefined {
  const all = items.map(lengthOf)
  const shortest = sum(all.map((length) => length.min))
  const longest = sum(all.map((length) => length.max))
  if (shortest >= min && longest <= max) return items
  if (shortest > max || longest < min) return undefined
  const item = items.find((_, index) => all[index]?.min !== all[index]?.max)
  const unit = item?.kind === 'repeat' ? lengthOf(item.body) : undefined
  if (item?.kind !== 'repeat' || unit === undefined) return undefined
  const fixed = shortest - item.min * unit.min
  const least = Math.max(item.min, Math.ceil((min - fixed) / unit.min))
  const most = Math.min(item.max, Math.floor((max - fixed) / unit.min))
  if (least > most) return undefined
  const fitted: Item = { ...item, min: least, max: most }
  return items.map((other) => (other === item ? fitted : other))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function lengthOf(item: Item): Lengths {
  switch (item.kind) {
    case 'any':
    case 'set':
      return { min: 1, max: 1 }
    case 'sequence': {
      const all = item.items.map(lengthOf)
      return { min: sum(all.map(({ min }) => min)), max: sum(all.map(({ max }) => max)) }
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
      throw new RegexError('"^" and look-aheads are only supported at the beginning of a pattern or alternative, and "$" at its end.')
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
      throw new RegexError('"^" and look-aheads are only supported at the beginning of a pattern or alternative, and "$" at its end.')
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
  return choice(options)
}

function codePoint(code: number): string {
  return `\\U${code.toString(16).padStart(8, '0')}`
}
