import { ServiceError } from '../shared/errors.ts'
import { indexSpecialTokens, partition, type Piece, type SpecialTokenIndex } from './special-tokens.ts'
import type { SpecialToken } from './vocabulary.ts'

/**
 * The guard that keeps a client from writing control tokens: a text such as "<|im_end|>" in a message must reach the model as
 * those ten characters. A prompt is rendered with the client's strings as they are. Only if these hold a character with which a
 * control token could be spelt, it is rendered a second time with each such character replaced by a mark of the same length; a
 * control token is then taken only where it stands unmarked. This covers texts that overlap, that begin in a client's string and
 * end in the template's own text, and that a template makes by trimming, changing case or cutting things out.
 */
export interface Guard {
  readonly index: SpecialTokenIndex
  /** The first and last UTF-16 code units of the control tokens. Without them in a client's string, it can't begin or end one. */
  readonly ends: readonly string[]
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
  return { index: indexSpecialTokens(tokens), leading, ends: [...ends], longest, marks }
}

/**
 * Renders `contents` and cuts the result into plain text and special tokens, no control token among them but the template's own.
 * `render` makes the prompt with the given strings in the place of `contents`.
 */
export function renderGuarded(
  contents: readonly string[],
  render: (contents: readonly string[]) => string,
  guard: Guard,
): Piece[] {
  const text = render(contents)
  const unguarded = cut(text, text, guard)
  const spelling = spellingOf(contents, unguarded, guard)
  if (spelling === undefined) return unguarded

  const marking = markContents(contents, spelling, guard)
  const traced = render(marking.contents)
  const restored = marking.restore(traced)
  const guarded = cut(restored, traced, guard)
  // The template looked at a marked character (to cut out "<think>", say) and did something else than without the marks. What it
  // made of the real strings is right as long as it gives the control tokens that no client's character helped to spell.
  return restored !== text && sameControlTokens(unguarded, guarded) ? unguarded : guarded
}

function cut(text: string, traced: string, guard: Guard): Piece[] {
  const from = traced.startsWith(guard.leading) ? guard.leading.length : 0
  return partition(text.slice(from), traced.slice(from), guard.index)
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
    found ??= new Set(controlTokens(pieces).map((control) => control.text))
    for (const control of found) if (control.includes(text)) return true
    return false
  }
  const any = contents.some((content) => guard.ends.some((end) => content.includes(end)) || inside(content))
  return any ? { inside } : undefined
}

interface Marking {
  contents: string[]
  restore(marked: string): string
}

function markContents(contents: readonly string[], spelling: Spelling, guard: Guard): Marking {
  const written = new Set<string>()
  for (const content of contents) {
    for (const [mark] of content.matchAll(/[\uFDD0-\uFDEF\uFFFE\uFFFF\uE000-\uF8FF]/g)) written.add(mark)
  }
  const free = guard.marks.values().filter((mark) => !written.has(mark))
  const markOf = new Map<string, string>()
  const mark = (unit: string): string => {
    const known = markOf.get(unit)
    if (known !== undefined) return known
    const next = free.next()
    if (next.done === true) {
      const message = 'The messages use up all code points of the private use area.'
      throw new ServiceError('INVALID_ARGUMENT', 'invalid_text', message, { param: 'messages' })
    }
    markOf.set(unit, next.value)
    return next.value
  }
  const present = guard.ends.filter((end) => contents.some((content) => content.includes(end)))
  const marked = contents.map((content) => {
    let text = content
    for (const end of present) text = substitute(text, end, mark(end))
    // One character of it is enough to tell.
    return text === content && spelling.inside(content) ? text.replace(/\S/, mark) : text
  })
  return {
    contents: marked,
    restore(traced) {
      let text = traced
      for (const [unit, unitMark] of markOf) text = substitute(text, unitMark, unit)
      return text
    },
  }
}

/** replaceAll, in a tenth of its time for a megabyte of nothing else. */
function substitute(text: string, unit: string, other: string): string {
  return text.includes(unit) ? text.split(unit).join(other) : text
}

function sameControlTokens(a: readonly Piece[], b: readonly Piece[]): boolean {
  const left = controlTokens(a)
  const right = controlTokens(b)
  return left.length === right.length && left.every(({ id }, i) => id === right[i]?.id)
}

function controlTokens(pieces: readonly Piece[]): SpecialToken[] {
  return pieces.filter((piece) => typeof piece !== 'string').filter(({ control }) => control)
}
