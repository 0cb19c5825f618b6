import { setImmediate as nextTurn } from 'node:timers/promises'
import { ServiceError } from '../shared/errors.ts'
import type { Piece } from './special-tokens.ts'
import type { Vocabulary } from './vocabulary.ts'

/**
 * UTF-16 code units that llama.cpp gets at once: 2 to 6 ms of work. Not only for the event loop's sake: many of its
 * pre-tokenizers (those of DeepSeek, GPT-4o, Mistral's Tekken …) run std::regex, which recurses for each character of a word and
 * overflows the stack between 16,384 and 65,536 letters without a space.
 */
const sliceLength = 8192
/** How far back from there to look for a place between two words. */
const wordWindow = 1024
/** A call costs about as much as this many characters, however short its text. */
const callCost = 64

export interface TokeniseOptions {
  vocabulary: Pick<Vocabulary, 'tokenise' | 'addsSpace'>
  /** Token ids of texts that are the template's own. */
  fixed: ReadonlyMap<string, readonly number[]>
  /** A long text is given up when it has more tokens than this. */
  limit: number
  signal: AbortSignal
}

export interface Tokens {
  ids: number[]
  /** False if it was given up at the limit: `ids` are the first ones then. */
  complete: boolean
}

/**
 * Token ids of a partitioned prompt, as llama.cpp gives them for the whole. A text of more than 8,192 characters is cut between
 * two words, which changes nothing in vocabularies whose tokens lie within words; one without a space for 1,024 characters is cut
 * there all the same. Lets the event loop turn between slices. Throws CANCELLED when the signal aborts.
 */
export async function tokenisePieces(pieces: readonly Piece[], options: TokeniseOptions): Promise<Tokens> {
  const { vocabulary, fixed, limit, signal } = options
  const ids: number[] = []
  let work = 0
  for (const piece of pieces) {
    if (typeof piece !== 'string') {
      ids.push(piece.id)
      continue
    }
    const known = fixed.get(piece)
    if (known !== undefined) {
      append(ids, known)
      continue
    }
    let from = 0
    while (from < piece.length) {
      if (work > sliceLength) {
        if (ids.length > limit) return { ids, complete: false }
        work = 0
        // oxlint-disable-next-line no-await-in-loop -- the slices are to come one after the other
        await nextTurn()
        if (signal.aborted) throw new ServiceError('CANCELLED', 'cancelled', 'The call was cancelled.')
      }
      const to = sliceEnd(piece, from)
      append(ids, vocabulary.tokenise(from === 0 && to === piece.length ? piece : piece.slice(from, to)))
      work += to - from + callCost
      // The vocabulary puts this space there itself.
      from = vocabulary.addsSpace && piece[to] === ' ' ? to + 1 : to
    }
  }
  return { ids, complete: true }
}

function append(ids: number[], more: readonly number[]): void {
  // Not push(...more): that many arguments may overflow the stack.
  for (const id of more) ids.push(id)
}

/** Where the slice that begins at `from` ends: between a letter and a space before another letter, if there is such a place. */
export function sliceEnd(text: string, from: number): number {
  const end = from + sliceLength
  if (text.length <= end) return text.length
  for (let at = end; at > end - wordWindow; at--) {
    if (text[at] === ' ' && isLetter(text.charCodeAt(at - 1)) && isLetter(text.charCodeAt(at + 1))) return at
  }
  const last = text.charCodeAt(end - 1)
  return last >= 0xd800 && last <= 0xdbff ? end - 1 : end
}

function isLetter(unit: number): boolean {
  return (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a)
}
