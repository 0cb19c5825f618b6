/** Which tokens may come next, so that the answer is a text of a grammar. */
import { MatchError } from '../../shared/grammar/match-error.ts'
import { isAlive, type State } from '../../shared/grammar/state.ts'
import { type CompiledGrammar, compileGrammar } from './compiled-grammar.ts'
import type { TokenTrie } from './token-trie.ts'

export interface Constraint {
  /** Whether the token may come next. */
  allows(token: number): boolean
  /**
   * The tokens that may not come next: 1 for each, at its place. Not to be written to. Throws MatchError when there is
   * none that may.
   */
  forbidden(): Uint8Array
  /** The token has come. It must be one that may. */
  accept(token: number): void
}

export interface ConstraintOptions {
  /** GBNF. */
  readonly grammar: string
  /** The grammar holds from the end of the first of these texts; from the beginning if there are none. */
  readonly after: readonly string[]
  readonly trie: TokenTrie
  /** Whether the token ends the answer. Such tokens may come where the grammar can end, and before it holds. */
  isEnd(token: number): boolean
  /** The same grammar as compiled before, for the same trie. */
  readonly compiled?: CompiledGrammar
}

/** Bytes of masks kept for one grammar. */
const maxMaskBytes = 8 * 1024 * 1024

/** Throws GrammarError. Its methods throw MatchError when the grammar can't be followed any further. */
export function createConstraint({ grammar, after, trie, isEnd, compiled }: ConstraintOptions): Constraint {
  const known = compiled ?? compileGrammar(grammar, after, trie)
  const { automaton, masks } = known
  const { classes } = automaton
  let state = automaton.start

  function afterToken(token: number): State | undefined {
    if (isEnd(token)) return state.ends || state.waiting ? state : undefined
    const bytes = trie.bytes(token)
    if (bytes.length === 0) return state.waiting ? state : undefined
    let reached = state
    for (const byte of bytes) {
      reached = reached.next[classes[byte] ?? 0] ?? automaton.step(reached, byte)
      if (!isAlive(reached)) return undefined
    }
    return reached
  }

  function walk(from: State): Uint8Array {
    const mask = new Uint8Array(trie.vocabularySize).fill(1)
    const { count, byte, depth, skip, firstToken } = trie.nodes
    const path: State[] = [from]
    for (let node = 0; node < count;) {
      const at = depth[node] ?? 0
      const reached = stepFrom(path[at - 1] ?? from, byte[node] ?? 0)
      path[at] = reached
      if (isAlive(reached)) {
        const end = firstToken[node + 1] ?? 0
        for (let index = firstToken[node] ?? 0; index < end; index++) mask[trie.tokens[index] ?? 0] = 0
      }
      node = reached.nodes.length > 0 ? node + 1 : (skip[node] ?? count)
    }
    if (from.waiting) for (const token of trie.silent) mask[token] = 0
    known.endTokens ??= Array.from(mask.keys()).filter((token) => isEnd(token))
    for (const token of known.endTokens) mask[token] = from.ends || from.waiting ? 0 : 1
    return mask
  }

  function stepFrom(from: State, byte: number): State {
    return from.next[classes[byte] ?? 0] ?? automaton.step(from, byte)
  }

  return {
    allows(token) {
      state = automaton.renew(state)
      return afterToken(token) !== undefined
    },
    forbidden() {
      state = automaton.renew(state)
      const similar = automaton.similar(state)
      const mask = masks.get(similar) ?? walk(similar)
      masks.delete(similar)
      masks.set(similar, mask)
      for (const [oldest, { length }] of masks) {
        if (masks.size * length <= maxMaskBytes) break
        masks.delete(oldest)
      }
      if (!mask.includes(0)) throw new MatchError('dead_end', 'No token of the vocabulary goes on from here as the grammar wants it.')
      return mask
    },
    accept(token) {
      state = automaton.renew(state)
      const reached = afterToken(token)
      if (reached === undefined) throw new Error('A token was accepted that the grammar does not allow.')
      state = reached
    },
  }
}
