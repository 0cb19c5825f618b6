/** Reads the regular expressions of `pattern`: those of ECMA-262 that describe a language and nothing else. */
import { invertRanges, isScalarValue, normaliseRanges } from './code-points.ts'
import type { CodePointRange } from './expression.ts'

export type Regex =
  | { readonly kind: 'set'; readonly ranges: readonly CodePointRange[] }
  | { readonly kind: 'sequence'; readonly items: readonly Regex[] }
  | { readonly kind: 'choice'; readonly options: readonly Regex[] }
  | { readonly kind: 'repeat'; readonly body: Regex; readonly min: number; readonly max: number }
  | { readonly kind: 'look'; readonly body: Regex; readonly negative: boolean }
  | { readonly kind: 'start' }
  | { readonly kind: 'end' }

/** Says what in the pattern is not supported, and where. */
export class RegexError extends Error {
  override readonly name = 'RegexError'
}

const maxPatternLength = 4000
const maxPatternDepth = 40
const maxCount = 10_000

interface Cursor {
  /** Code points. */
  readonly text: readonly string[]
  position: number
  depth: number
}

/** Throws RegexError. */
export function parseRegex(pattern: string): Regex {
  if (pattern.length > maxPatternLength) throw new RegexError(`A pattern may have ${maxPatternLength} characters.`)
  const cursor: Cursor = { text: Array.from(pattern), position: 0, depth: 0 }
  const regex = parseChoice(cursor)
  if (cursor.position < cursor.text.length) throw unexpected(cursor)
  return regex
}

function parseChoice(cursor: Cursor): Regex {
  if (++cursor.depth > maxPatternDepth) throw new RegexError(`Groups may be nested ${maxPatternDepth} deep.`)
  const options = [parseSequence(cursor)]
  while (peek(cursor) === '|') {
    cursor.position++
    options.push(parseSequence(cursor))
  }
  cursor.depth--
  const [only] = options
  return options.length === 1 && only !== undefined ? only : { kind: 'choice', options }
}

function parseSequence(cursor: Cursor): Regex {
  const items: Regex[] = []
  for (let next = peek(cursor); next !== undefined && next !== '|' && next !== ')'; next = peek(cursor)) {
    const item = parseAtom(cursor)
    const count = parseCount(cursor)
    if (count === undefined) items.push(item)
    else if (item.kind === 'start' || item.kind === 'end' || item.kind === 'look') throw unexpected(cursor)
    else items.push({ kind: 'repeat', body: item, ...count })
  }
  const [only] = items
  return items.length === 1 && only !== undefined ? only : { kind: 'sequence', items }
}

function parseAtom(cursor: Cursor): Regex {
  const character = peek(cursor) ?? ''
  switch (character) {
    case '^':
      cursor.position++
      return { kind: 'start' }
    case '$':
      cursor.position++
      return { kind: 'end' }
    case '.':
      cursor.position++
      return { kind: 'set', ranges: invertRanges(toRanges('\n\r\u2028\u2029')) }
    case '(':
      return parseGroup(cursor)
    case '[':
      return { kind: 'set', ranges: notEmpty(parseClass(cursor)) }
    case '\\':
      return { kind: 'set', ranges: parseEscape(cursor, false) }
    case '*':
    case '+':
    case '?':
    case '{':
    case '}':
    case ']':
      throw unexpected(cursor)
    default:
      cursor.position++
      return { kind: 'set', ranges: characterRanges(cursor, character) }
  }
}

function parseGroup(cursor: Cursor): Regex {
  cursor.position++
  let prefix: string | undefined
  if (peek(cursor) === '?') {
    const rest = cursor.text.slice(cursor.position, cursor.position + 64).join('')
    prefix = /^\?(?:[:=!]|<[A-Za-z_$][\w$]*>)/v.exec(rest)?.[0]
    if (prefix === undefined) throw new RegexError('Look-behinds and modifiers are not supported.')
    cursor.position += prefix.length
  }
  const group = parseChoice(cursor)
  if (peek(cursor) !== ')') throw new RegexError('A group has no end.')
  cursor.position++
  return prefix === '?=' || prefix === '?!' ? { kind: 'look', body: group, negative: prefix === '?!' } : group
}

function parseCount(cursor: Cursor): { min: number; max: number } | undefined {
  const symbol = peek(cursor)
  let count: { min: number; max: number }
  if (symbol === '*') count = { min: 0, max: Number.POSITIVE_INFINITY }
  else if (symbol === '+') count = { min: 1, max: Number.POSITIVE_INFINITY }
  else if (symbol === '?') count = { min: 0, max: 1 }
  else if (symbol === '{') {
    const rest = cursor.text.slice(cursor.position, cursor.position + 40).join('')
    const [whole, from, comma, to] = /^\{(\d+)(,)?(\d*)\}/v.exec(rest) ?? []
    if (whole === undefined) throw unexpected(cursor)
    const min = Number(from)
    count = { min, max: comma === undefined ? min : to === undefined || to === '' ? Number.POSITIVE_INFINITY : Number(to) }
    if (count.max < min) throw new RegexError('A repetition is at most fewer times than at least.')
    if (min > maxCount || (count.max > maxCount && count.max !== Number.POSITIVE_INFINITY)) throw new RegexError(`A repetition may be of ${maxCount} times.`)
    cursor.position += whole.length - 1
  } else return undefined
  cursor.position++
  // Lazy or not, the language is the same.
  if (peek(cursor) === '?') cursor.position++
  return count
}

function parseClass(cursor: Cursor): CodePointRange[] {
  cursor.position++
  const negated = peek(cursor) === '^'
  if (negated) cursor.position++
  const ranges: CodePointRange[] = []
  for (let next = peek(cursor); next !== ']'; next = peek(cursor)) {
    if (next === undefined) throw new RegexError('A character class has no end.')
    const low = parseClassItem(cursor)
    const [only] = low
    if (peek(cursor) !== '-' || cursor.text[cursor.position + 1] === ']') {
      ranges.push(...low)
      continue
    }
    cursor.position++
    const high = parseClassItem(cursor)
    const [last] = high
    const single = low.length === 1 && high.length === 1 && only?.low === only?.high && last?.low === last?.high
    if (!single || only === undefined || last === undefined) throw new RegexError('A range is between characters only.')
    if (last.low < only.low) throw new RegexError('A range is the wrong way round.')
    ranges.push({ low: only.low, high: last.low })
  }
  cursor.position++
  return negated ? invertRanges(ranges) : normaliseRanges(ranges)
}

function notEmpty(ranges: CodePointRange[]): CodePointRange[] {
  if (ranges.length === 0) throw new RegexError('A character class has no characters.')
  return ranges
}

function parseClassItem(cursor: Cursor): readonly CodePointRange[] {
  const character = peek(cursor)
  if (character === undefined) throw new RegexError('A character class has no end.')
  if (character === '\\') return parseEscape(cursor, true)
  cursor.position++
  return characterRanges(cursor, character)
}

const digit = [{ low: 0x30, high: 0x39 }]
const word = [...digit, { low: 0x41, high: 0x5a }, { low: 0x5f, high: 0x5f }, { low: 0x61, high: 0x7a }]
const space = [
  { low: 0x09, high: 0x0d },
  ...toRanges('\u0020\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'),
  { low: 0x2000, high: 0x200a },
]
const sets: ReadonlyMap<string, readonly CodePointRange[]> = new Map([
  ['d', digit],
  ['D', invertRanges(digit)],
  ['w', word],
  ['W', invertRanges(word)],
  ['s', normaliseRanges(space)],
  ['S', invertRanges(space)],
])
const controls: ReadonlyMap<string, number> = new Map([
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
  ['f', 0x0c],
  ['0', 0x00],
])

function parseEscape(cursor: Cursor, inClass: boolean): readonly CodePointRange[] {
  const letter = cursor.text[cursor.position + 1]
  if (letter === undefined) throw unexpected(cursor)
  const set = sets.get(letter)
  const control = inClass && letter === 'b' ? 0x08 : controls.get(letter)
  if (set !== undefined || control !== undefined) {
    cursor.position += 2
    return set ?? single(control ?? 0)
  }
  const rest = cursor.text.slice(cursor.position, cursor.position + 12).join('')
  const [whole, two, four, braced] = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\})/v.exec(rest) ?? []
  if (whole !== undefined) {
    const codePoint = Number.parseInt(two ?? four ?? braced ?? '', 16)
    if (!isScalarValue(codePoint)) throw new RegexError('Surrogates are not supported; write the character or \\u{…}.')
    cursor.position += whole.length
    return single(codePoint)
  }
  if (/[a-zA-Z0-9]/v.test(letter)) throw new RegexError(`The escape \\${letter} is not supported.`)
  cursor.position += 2
  return characterRanges(cursor, letter)
}

function characterRanges(cursor: Cursor, character: string): CodePointRange[] {
  const codePoint = character.codePointAt(0) ?? 0
  if (!isScalarValue(codePoint)) throw unexpected(cursor)
  return single(codePoint)
}

function single(codePoint: number): CodePointRange[] {
  return [{ low: codePoint, high: codePoint }]
}

function toRanges(characters: string): CodePointRange[] {
  return Array.from(characters).flatMap((character) => single(character.codePointAt(0) ?? 0))
}

function peek({ text, position }: Cursor): string | undefined {
  return text[position]
}

function unexpected({ position }: Cursor): RegexError {
  return new RegexError(`Something is not supported or out of place at character ${position + 1} of the pattern.`)
}
