/**
 * Reads GBNF, the grammar format of llama.cpp, as llama.cpp reads it, with three differences: a reversed or empty
 * character class is an error, repetitions beyond 2000 are honoured rather than made unbounded, and references to
 * tokens (`<[42]>`, `<think>`) are refused, since a grammar here is about bytes.
 */
import { anyCharacter, invertRanges, isScalarValue, normaliseRanges } from './code-points.ts'
import { type CodePointRange, type Expression, type Grammar, GrammarError, type Rule } from './expression.ts'

/** UTF-8 bytes of the text. */
export const maxGrammarBytes = 256 * 1024
export const maxGrammarRules = 20_000
/** Groups within each other. */
export const maxGrammarDepth = 200
/** As in `a{2}{3}`. */
export const maxRepetitionsInRow = 4
/** The highest number in `{n,m}`. */
export const maxRepetition = 1_000_000

interface Cursor {
  readonly text: string
  position: number
  depth: number
  /** Rules by name, in the order in which the text mentions them first. */
  readonly numbers: Map<string, number>
  readonly mentions: { readonly name: string; readonly position: number; body: Expression | undefined; defined: number }[]
}

/** Throws GrammarError. */
export function parseGbnf(text: string): Grammar {
  if (text.length > maxGrammarBytes || Buffer.byteLength(text) > maxGrammarBytes) {
    throw new GrammarError('too_large', `A grammar may have ${maxGrammarBytes} bytes; this one has ${Buffer.byteLength(text)}.`, '', 0)
  }
  const cursor: Cursor = { text, position: 0, depth: 0, numbers: new Map(), mentions: [] }
  skipSpace(cursor, true)
  while (cursor.position < text.length) parseRule(cursor)

  const rules: Rule[] = cursor.mentions.map(({ name, position, body, defined }) => {
    if (body === undefined) throw new GrammarError('undefined_rule', `The rule "${name}" is not defined.`, text, position)
    return { name, position: defined, body }
  })
  const root = cursor.numbers.get('root')
  if (root === undefined) throw new GrammarError('undefined_rule', 'There is no rule named "root".', '', 0)
  return { text, rules, root }
}

function parseRule(cursor: Cursor): void {
  const start = cursor.position
  const name = parseName(cursor)
  skipSpace(cursor, false)
  if (!cursor.text.startsWith('::=', cursor.position)) throw here(cursor, 'Expected "::=".')
  cursor.position += 3
  skipSpace(cursor, true)
  const number = ruleNumber(cursor, name, start)
  const body = parseChoice(cursor, false)
  const mention = cursor.mentions[number]
  if (mention !== undefined) {
    // As in llama.cpp, the last definition of a name is the one that counts.
    mention.body = body
    mention.defined = start
  }
  if (cursor.position < cursor.text.length && !isNewline(cursor)) throw here(cursor, `Unexpected ${found(cursor)}.`)
  skipSpace(cursor, true)
}

function parseChoice(cursor: Cursor, nested: boolean): Expression {
  const options = [parseSequence(cursor, nested)]
  while (cursor.text[cursor.position] === '|') {
    cursor.position++
    skipSpace(cursor, true)
    options.push(parseSequence(cursor, nested))
  }
  const [only] = options
  return options.length === 1 && only !== undefined ? only : { kind: 'choice', options }
}

function parseSequence(cursor: Cursor, nested: boolean): Expression {
  const items: Expression[] = []
  // Each adds a level to the tree.
  let repetitions = 0
  for (;;) {
    const repetition = parseRepetition(cursor, nested)
    if (repetition !== undefined) {
      const body = items.pop()
      if (body === undefined) throw errorAt(cursor, repetition.position, 'There is nothing before this to repeat.')
      if (++repetitions > maxRepetitionsInRow) throw errorAt(cursor, repetition.position, 'Too many repetitions of one item.')
      items.push({ kind: 'repeat', body, min: repetition.min, max: repetition.max })
      continue
    }
    const item = parseItem(cursor)
    if (item === undefined) break
    repetitions = 0
    items.push(item)
    skipSpace(cursor, nested)
  }
  const [only] = items
  return items.length === 1 && only !== undefined ? only : { kind: 'sequence', items }
}

function parseItem(cursor: Cursor): Expression | undefined {
  const { text, position } = cursor
  switch (text[position]) {
    case '"':
      return parseLiteral(cursor)
    case '[':
      return parseClass(cursor)
    case '.':
      cursor.position++
      return { kind: 'characters', ranges: anyCharacter }
    case '(':
      return parseGroup(cursor)
    case '<':
    case '!':
      throw here(cursor, 'References to tokens are not supported; write the text instead.')
    default:
      return isWordCharacter(text.charCodeAt(position))
        ? { kind: 'rule', rule: ruleNumber(cursor, parseName(cursor), position) }
        : undefined
  }
}

function parseGroup(cursor: Cursor): Expression {
  if (++cursor.depth > maxGrammarDepth) throw here(cursor, `Groups may be nested ${maxGrammarDepth} deep.`)
  cursor.position++
  skipSpace(cursor, true)
  const group = parseChoice(cursor, true)
  if (cursor.text[cursor.position] !== ')') throw here(cursor, `Expected ")" but found ${found(cursor)}.`)
  cursor.position++
  cursor.depth--
  return group
}

function parseLiteral(cursor: Cursor): Expression {
  cursor.position++
  let literal = ''
  while (cursor.text[cursor.position] !== '"') literal += String.fromCodePoint(parseCharacter(cursor))
  cursor.position++
  return { kind: 'bytes', bytes: Buffer.from(literal) }
}

function parseClass(cursor: Cursor): Expression {
  const { text, position: start } = cursor
  cursor.position++
  const negated = text[cursor.position] === '^'
  if (negated) cursor.position++
  const ranges: CodePointRange[] = []
  while (text[cursor.position] !== ']') {
    const rangeStart = cursor.position
    const low = parseCharacter(cursor)
    let high = low
    if (text[cursor.position] === '-' && text[cursor.position + 1] !== ']') {
      cursor.position++
      high = parseCharacter(cursor)
    }
    if (high < low) throw errorAt(cursor, rangeStart, 'The range is the wrong way round.')
    ranges.push({ low, high })
  }
  cursor.position++
  if (ranges.length === 0) throw errorAt(cursor, start, 'The character class is empty.')
  return { kind: 'characters', ranges: negated ? invertRanges(ranges) : normaliseRanges(ranges) }
}

const escapes: Readonly<Record<string, string>> = { t: '\t', r: '\r', n: '\n', '\\': '\\', '"': '"', '[': '[', ']': ']', '-': '-' }
const hexadecimalEscapes: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

function parseCharacter(cursor: Cursor): number {
  const { text, position } = cursor
  const codePoint = text.codePointAt(position)
  if (codePoint === undefined) throw here(cursor, 'The text ends within a literal or a character class.')
  if (text[position] !== '\\') {
    if (!isScalarValue(codePoint)) throw here(cursor, 'Half a surrogate pair is not a character.')
    cursor.position += codePoint > 0xffff ? 2 : 1
    return codePoint
  }
  const letter = text[position + 1] ?? ''
  const digits = hexadecimalEscapes[letter]
  if (digits !== undefined) {
    const hexadecimal = text.slice(position + 2, position + 2 + digits)
    if (hexadecimal.length !== digits || /[^0-9a-fA-F]/v.test(hexadecimal)) {
      throw here(cursor, `"\\${letter}" wants ${digits} hexadecimal digits.`)
    }
    const escaped = Number.parseInt(hexadecimal, 16)
    if (!isScalarValue(escaped)) throw here(cursor, 'The escape is not a character of Unicode.')
    cursor.position += 2 + digits
    return escaped
  }
  const plain = escapes[letter]
  if (plain === undefined) throw here(cursor, 'Unknown escape; there are \\n \\r \\t \\\\ \\" \\[ \\] \\- \\xHH \\uHHHH \\UHHHHHHHH.')
  cursor.position += 2
  return plain.charCodeAt(0)
}

interface Repetition {
  readonly position: number
  readonly min: number
  readonly max: number
}

const symbols: Readonly<Record<string, readonly [number, number]>> = {
  '*': [0, Number.POSITIVE_INFINITY],
  '+': [1, Number.POSITIVE_INFINITY],
  '?': [0, 1],
}

function parseRepetition(cursor: Cursor, nested: boolean): Repetition | undefined {
  const { text, position } = cursor
  const character = text[position] ?? ''
  const symbol = symbols[character]
  if (symbol === undefined && character !== '{') return undefined
  cursor.position++
  skipSpace(cursor, nested)
  if (symbol !== undefined) return { position, min: symbol[0], max: symbol[1] }

  const min = parseInteger(cursor, nested)
  if (min === undefined) throw here(cursor, 'Expected a number.')
  let max: number = min
  if (text[cursor.position] === ',') {
    cursor.position++
    skipSpace(cursor, nested)
    max = parseInteger(cursor, nested) ?? Number.POSITIVE_INFINITY
  }
  if (text[cursor.position] !== '}') throw here(cursor, 'Expected "}".')
  if (max < min) throw errorAt(cursor, position, 'The repetition is at most fewer times than at least.')
  cursor.position++
  skipSpace(cursor, nested)
  return { position, min, max }
}

function parseInteger(cursor: Cursor, nested: boolean): number | undefined {
  const { text, position } = cursor
  while (isDigit(text.charCodeAt(cursor.position))) cursor.position++
  if (cursor.position === position) return undefined
  const integer = Number(text.slice(position, cursor.position))
  if (integer > maxRepetition) throw errorAt(cursor, position, `A repetition may be of ${maxRepetition} times.`)
  skipSpace(cursor, nested)
  return integer
}

function parseName(cursor: Cursor): string {
  const { text, position } = cursor
  while (isWordCharacter(text.charCodeAt(cursor.position))) cursor.position++
  if (cursor.position === position) throw here(cursor, `Expected the name of a rule but found ${found(cursor)}.`)
  return text.slice(position, cursor.position)
}

function ruleNumber(cursor: Cursor, name: string, position: number): number {
  const known = cursor.numbers.get(name)
  if (known !== undefined) return known
  const number = cursor.mentions.length
  if (number >= maxGrammarRules) throw new GrammarError('too_large', `A grammar may have ${maxGrammarRules} rules.`, cursor.text, position)
  cursor.mentions.push({ name, position, body: undefined, defined: position })
  cursor.numbers.set(name, number)
  return number
}

function skipSpace(cursor: Cursor, newlines: boolean): void {
  const { text } = cursor
  for (;;) {
    const character = text[cursor.position]
    if (character === ' ' || character === '\t' || (newlines && isNewline(cursor))) cursor.position++
    else if (character === '#') {
      while (cursor.position < text.length && !isNewline(cursor)) cursor.position++
    } else return
  }
}

function isNewline({ text, position }: Cursor): boolean {
  return text[position] === '\n' || text[position] === '\r'
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isWordCharacter(code: number): boolean {
  return isDigit(code) || code === 0x2d || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
}

function found({ text, position }: Cursor): string {
  const codePoint = text.codePointAt(position)
  if (codePoint === undefined) return 'the end of the text'
  return `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}${codePoint > 0x20 && codePoint < 0x7f ? ` "${String.fromCodePoint(codePoint)}"` : ''}`
}

function here(cursor: Cursor, message: string): GrammarError {
  return errorAt(cursor, cursor.position, message)
}

function errorAt(cursor: Cursor, position: number, message: string): GrammarError {
  return new GrammarError('syntax', message, cursor.text, position)
}
