/** Which tokens may come next, so that the answer is a text of a grammar. */
import { MatchError } from '../../shared/grammar/match-error.ts'
import { isAlive, type State } from '../../shared/grammar/state.ts'
import { type CompiledGrammar, compileGrammar } from './compiled-grammar.ts'
import { type Mask, packMask, unpackMask } from './mask.ts'
import type { TokenTrie } from './token-trie.ts'

export interface Constraint {
  /** Whether the token may come next. */
  allows(token: number): boolean
  /**
   * The tokens that may not come next: 1 for each, at its place. Holds until the next call, and is not to be written to.
   * Throws MatchError when no token may come.
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
  /** The space that begins the first token with bytes, if there is one, is no part of the answer. */
  readonly skipsSpace?: boolean
  /** The same grammar as compiled before, for the same trie. */
  readonly compiled?: CompiledGrammar
}

/**
 * Work that an answer may cause beside what each token pays for, in the automaton's steps; ten thousand take about a
 * millisecond. Few grammars need more than that for a token even if nothing is known of them yet.
 */
const maxDebt = 5_000_000
const paidByToken = 50_000

/** Throws GrammarError. Its methods throw MatchError when the grammar can't be followed any further. */
export function createConstraint(options: ConstraintOptions): Constraint {
  const { grammar, after, trie, isEnd, skipsSpace = false } = options
  const compiled = options.compiled ?? compileGrammar(grammar, after, trie)
  const { automaton, masks } = compiled
  const { classes } = automaton
  let state = skipsSpace ? automaton.startAfterSpace : automaton.start
  let mask: Uint8Array | undefined
  let debt = 0

  function counted<T>(run: () => T): T {
    if (debt > maxDebt) throw new MatchError('too_ambiguous', 'The grammar takes too much work: a text can be read in too many ways.')
    state = automaton.renew(state)
    const result = run()
    debt += automaton.work
    return result
  }

  function step(from: State, byte: number): State {
    return from.next[classes[byte] ?? 0] ?? automaton.step(from, byte)
  }

  function mayEnd({ ends, waiting }: State): boolean {
    return ends || waiting
  }

  function reach(token: number): State | undefined {
    if (isEnd(token)) return mayEnd(state) ? state : undefined
    const bytes = trie.bytes(token)
    if (bytes.length === 0) return state.waiting ? state : undefined
    let reached = state
    for (const byte of bytes) {
      reached = step(reached, byte)
      if (!isAlive(reached)) return undefined
    }
    return reached
  }

  function walk(from: State): Mask {
    const forbidden = new Uint8Array(trie.vocabularySize).fill(1)
    const { tokens } = trie
    const { count, byte, depth, skip, firstToken } = trie.nodes
    const path: State[] = [from]
    for (let node = 0; node < count;) {
      const at = depth[node] ?? 0
      const reached = step(path[at - 1] ?? from, byte[node] ?? 0)
      if (isAlive(reached)) {
        path[at] = reached
        const end = firstToken[node + 1] ?? 0
        for (let index = firstToken[node] ?? 0; index < end; index++) forbidden[tokens[index] ?? 0] = 0
        node++
      } else node = skip[node] ?? count
    }
    if (from.waiting) for (const token of trie.silent) forbidden[token] = 0
    compiled.endTokens ??= Array.from(forbidden.keys()).filter((token) => isEnd(token))
    for (const token of compiled.endTokens) forbidden[token] = mayEnd(from) ? 0 : 1
    return packMask(forbidden)
  }

  return {
    allows: (token) => counted(() => reach(token) !== undefined),
    forbidden() {
      const packed = counted(() => {
        const similar = automaton.similar(state)
        return masks.get(similar, () => walk(similar))
      })
      if (packed.empty) throw new MatchError('dead_end', 'No token of the vocabulary goes on from here as the grammar wants it.')
      mask ??= new Uint8Array(trie.vocabularySize)
      unpackMask(packed, mask)
      return mask
    },
    accept(token) {
      const reached = counted(() => reach(token))
      debt = Math.max(0, debt - paidByToken)
      if (reached === undefined) throw new Error('A token was accepted that the grammar does not allow.')
      state = reached
    },
  }
}
