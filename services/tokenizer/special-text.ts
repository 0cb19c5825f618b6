import { ServiceError } from '../shared/errors.ts'
import { indexSpecialTokens, partition, type Piece, type SpecialTokenIndex } from './special-tokens.ts'
import type { SpecialToken } from './vocabulary.ts'

/**
 * The guard that keeps a client from writing control tokens: a text such as "<|im_end|>" in a message must reach the model as those
 * ten characters. A prompt is rendered with the client's strings as they are. Only if these hold a character with which a control
 * token could be spelt, it is rendered a second time with each such character replaced by a mark of the same length; a control
 * token is then taken only where it stands unmarked. This covers texts that overlap, that begin in a client's string and end in the
 * template's own text, and that a template makes by trimming, changing case or cutting things out.
 */
export interface Guard {
  readonly index: SpecialTokenIndex
  /** Matches the first and last characters of the control tokens. Without them in a client's string, it can't begin or end one. */
  readonly ends: RegExp
  /** UTF-16 length of the longest control token. */
  readonly longest: number
  /** The BOS text, where the caller adds that token itself: left out at the start of a rendered prompt. Else empty. */
  readonly leading: string
  /** UTF-16 code units that neither the template nor a special token uses. */
  readonly marks: readonly string[]
}

export interface GuardOptions {
  tokens: readonly SpecialToken[]
  /** The chat template. */
  source: string
  leading: string
}

export function createGuard({ tokens, source, leading }: GuardOptions): Guard {
  const ends = new Set<string>()
  let longest = 0
  for (const { text, control } of tokens) {
    if (!control || text === '') continue
    ends.add(text.charAt(0)).add(text.charAt(text.length - 1))
    longest = Math.max(longest, text.length)
  }
  const own = new Set(source + tokens.map(({ text }) => text).join(''))
  const marks: string[] = []
  // The noncharacters first, as nobody has a use for them; then the private use area.
  for (const [from, to] of [[0xfdd0, 0xfdef], [0xfffe, 0xffff], [0xe000, 0xf8ff]] as const) {
    for (let code = from; code <= to; code++) {
      const mark = String.fromCharCode(code)
      if (!own.has(mark)) marks.push(mark)
    }
  }
  const units = [...ends].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  // Not sticky or global: test() keeps no place. An empty class matches nothing.
  return { index: indexSpecialTokens(tokens), leading, ends: new RegExp(`[${units.join('')}]`), longest, marks }
}

export interface PromptText {
  readonly pieces: Piece[]
  /** UTF-16 length of the rendered text. */
  readonly length: number
}

/**
 * Renders `contents` and cuts the result into plain text and special tokens, no control token among them but the template's own.
 * `render` makes the prompt with the given strings in the place of `contents`.
 */
export function renderGuarded(contents: readonly string[], render: (contents: readonly string[]) => string, guard: Guard): PromptText {
  const text = render(contents)
  const unguarded = cut(text, text, guard)
  const spelling = spellingOf(contents, unguarded.pieces, guard)
  if (spelling === undefined) return unguarded

  const marking = markContents(contents, spelling, guard)
  const traced = render(marking.contents)
  const restored = marking.restore(traced)
  const guarded = cut(restored, traced, guard)
  // The template looked at a marked character (to cut out "<think>", say) and did something else than without the marks. What it made of
  // the real strings is right as long as it gives the control tokens that no client's character helped to spell.
  return restored !== text && sameControlTokens(unguarded.pieces, guarded.pieces) ? unguarded : guarded
}

function cut(text: string, traced: string, guard: Guard): PromptText {
  const from = traced.startsWith(guard.leading) ? guard.leading.length : 0
  return { pieces: partition(text.slice(from), traced.slice(from), guard.index), length: text.length - from }
}

/** Tells which of a client's strings can take part in spelling a control token. */
interface Spelling {
  /** True for a string that may be the inside of a control token whose ends the template wrote. */
  inside(content: string): boolean
}

/** Undefined if no client's string can take part. */
function spellingOf(contents: readonly string[], pieces: readonly Piece[], guard: Guard): Spelling | undefined {
  let found: Set<string> | undefined
  const inside = (content: string): boolean => {
    const text = content.trim()
    if (text === '' || text.length > guard.longest) return false
    found ??= new Set(pieces.flatMap((piece) => (typeof piece !== 'string' && piece.control ? [piece.text] : [])))
    for (const control of found) if (control.includes(text)) return true
    return false
  }
  return contents.some((content) => guard.ends.test(content) || inside(content)) ? { inside } : undefined
}

interface Marking {
  contents: string[]
  restore(marked: string): string
}

function markContents(contents: readonly string[], spelling: Spelling, guard: Guard): Marking {
  const written = new Set<string>()
  for (const content of contents) for (const [mark] of content.matchAll(/[\uFDD0-\uFDEF\uFFFE\uFFFF\uE000-\uF8FF]/g)) written.add(mark)
  const free = guard.marks.values().filter((mark) => !written.has(mark))
  const markOf = new Map<string, string>()
  const unitOf = new Map<string, string>()
  const mark = (unit: string): string => {
    const known = markOf.get(unit)
    if (known !== undefined) return known
    const next = free.next()
    if (next.done === true) {
      throw new ServiceError('INVALID_ARGUMENT', 'invalid_text', 'The messages use up all code points of the private use area.', { param: 'messages' })
    }
    markOf.set(unit, next.value)
    unitOf.set(next.value, unit)
    return next.value
  }
  const ends = new RegExp(guard.ends, 'g')
  const marked = contents.map((content) => {
    const withEnds = content.replace(ends, mark)
    return spelling.inside(content) ? withEnds.replace(/\S/, (unit) => (unitOf.has(unit) ? unit : mark(unit))) : withEnds
  })
  if (unitOf.size === 0) return { contents: marked, restore: (text) => text }
  const marks = new RegExp(`[${[...unitOf.keys()].join('')}]`, 'g')
  return { contents: marked, restore: (text) => text.replace(marks, (unit) => unitOf.get(unit) ?? unit) }
}

function sameControlTokens(a: readonly Piece[], b: readonly Piece[]): boolean {
  const left = controlTokens(a)
  const right = controlTokens(b)
  return left.length === right.length && left.every((id, i) => id === right[i])
}

function controlTokens(pieces: readonly Piece[]): number[] {
  return pieces.flatMap((piece) => (typeof piece !== 'string' && piece.control ? [piece.id] : []))
}
