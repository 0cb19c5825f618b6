import type { SpecialToken } from './vocabulary.ts'

/**
 * Finds the special tokens in a rendered prompt, as llama.cpp does (`llama_vocab::impl::tokenizer_st_partition`): longer texts
 * first, then from left to right, over the whole text. It is done here, and only the text between them goes to llama.cpp, with
 * special tokens switched off, because that way
 * - a control token can only come from a place where this module allows it, never from a client's text (see special-text.ts);
 * - it is linear: llama.cpp's search walks its list of fragments at each match and tries each special token at each place, which
 *   takes 14 s for 100,000 of SmolLM2's and 3.6 s for 64 KiB of "<" with Gemma's 6,242.
 */
export interface SpecialTokenIndex {
  /** 1 where a UTF-16 code unit begins a special token's text. */
  readonly begins: Uint8Array
  readonly root: Node
  /** The lengths that occur, in UTF-8 bytes, longest first. */
  readonly lengths: readonly number[]
}

interface Node {
  readonly next: Map<number, Node>
  entry: Entry | undefined
}

interface Entry {
  readonly token: SpecialToken
  readonly bytes: number
}

/** Plain text, or the special token that stands there. */
export type Piece = string | SpecialToken

interface Match {
  readonly at: number
  readonly entry: Entry
}

export function indexSpecialTokens(tokens: readonly SpecialToken[]): SpecialTokenIndex {
  const begins = new Uint8Array(0x10000)
  const root: Node = { next: new Map(), entry: undefined }
  const lengths = new Set<number>()
  for (const token of tokens) {
    if (token.text === '') continue
    let node = root
    for (let i = 0; i < token.text.length; i++) {
      const unit = token.text.charCodeAt(i)
      const next: Node = node.next.get(unit) ?? { next: new Map(), entry: undefined }
      node.next.set(unit, next)
      node = next
    }
    const bytes = Buffer.byteLength(token.text)
    node.entry ??= { token, bytes }
    begins[token.text.charCodeAt(0)] = 1
    lengths.add(bytes)
  }
  return { begins, root, lengths: [...lengths].toSorted((a, b) => b - a) }
}

/**
 * Cuts `text` into plain text and special tokens.
 *
 * `traced` is `text` with a mark over each of the client's characters that could matter, at the same places (special-text.ts): a
 * control token is taken only where `traced` spells it too. Tokens of type USER_DEFINED are taken anywhere, as llama.cpp takes
 * them even when it parses no special tokens: they stand for ordinary text, such as runs of newlines.
 */
export function partition(text: string, traced: string, index: SpecialTokenIndex): Piece[] {
  const matches = accept(text, candidates(text, traced, index), traced, index)
  if (matches.length === 0) return text === '' ? [] : [text]
  const pieces: Piece[] = []
  let from = 0
  for (const [i, { at, entry }] of matches.entries()) {
    const before = matches[i - 1]?.entry.token
    addText(pieces, text.slice(from, at), before?.stripRight ?? false, entry.token.stripLeft)
    pieces.push(entry.token)
    from = at + entry.token.text.length
  }
  addText(pieces, text.slice(from), matches.at(-1)?.entry.token.stripRight ?? false, false)
  return pieces
}

function addText(pieces: Piece[], text: string, stripStart: boolean, stripEnd: boolean): void {
  let from = 0
  let to = text.length
  if (stripStart) while (from < to && isSpace(text, from)) from++
  if (stripEnd) while (from < to && isSpace(text, to - 1)) to--
  if (from < to) pieces.push(text.slice(from, to))
}

/** C's isspace, as llama.cpp asks it. */
function isSpace(text: string, at: number): boolean {
  const unit = text.charCodeAt(at)
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d)
}

/** The longest special token at each place, by length. */
function candidates(text: string, traced: string, index: SpecialTokenIndex): Map<number, Match[]> {
  const byLength = new Map<number, Match[]>()
  for (let at = 0; at < text.length; at++) {
    if (index.begins[text.charCodeAt(at)] === 0) continue
    addLongest(byLength, text, at, Infinity, traced, index)
  }
  return byLength
}

function addLongest(
  byLength: Map<number, Match[]>,
  text: string,
  at: number,
  below: number,
  traced: string,
  index: SpecialTokenIndex,
): void {
  let longest: Entry | undefined
  let node: Node | undefined = index.root
  for (let i = at; i < text.length; i++) {
    node = node.next.get(text.charCodeAt(i))
    if (node === undefined) break
    const { entry } = node
    if (entry === undefined || entry.bytes >= below) continue
    if (entry.token.control && !traced.startsWith(entry.token.text, at)) continue
    longest = entry
  }
  if (longest === undefined) return
  const matches = byLength.get(longest.bytes)
  if (matches === undefined) byLength.set(longest.bytes, [{ at, entry: longest }])
  else matches.push({ at, entry: longest })
}

/** Those that llama.cpp would take, by place. */
function accept(text: string, byLength: Map<number, Match[]>, traced: string, index: SpecialTokenIndex): Match[] {
  if (byLength.size === 0) return []
  const accepted: Match[] = []
  const taken = new Uint8Array(text.length)
  for (const length of index.lengths) {
    const matches = byLength.get(length)
    if (matches === undefined) continue
    // Those put back below may stand before others of this length.
    matches.sort((a, b) => a.at - b.at)
    for (const match of matches) {
      const end = match.at + match.entry.token.text.length
      // What was accepted so far is at least as long, so it can't lie inside: looking at both ends is enough.
      if (taken[match.at] === 1) continue
      if (taken[end - 1] === 1) addLongest(byLength, text, match.at, length, traced, index)
      else {
        taken.fill(1, match.at, end)
        accepted.push(match)
        // The space that a token swallows is gone for the shorter ones.
        if (match.entry.token.stripRight) for (let i = end; taken[i] === 0 && isSpace(text, i); i++) taken[i] = 1
        if (match.entry.token.stripLeft) for (let i = match.at - 1; taken[i] === 0 && isSpace(text, i); i--) taken[i] = 1
      }
    }
  }
  return accepted.toSorted((a, b) => a.at - b.at)
}
