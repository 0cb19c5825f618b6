import { type Automaton, createAutomaton } from '../../shared/grammar/automaton.ts'
import type { State } from '../../shared/grammar/state.ts'
import { createMaskCache, type MaskCache } from './mask.ts'
import type { TokenTrie } from './token-trie.ts'

/** A grammar over a vocabulary, with what was found out about it; any number of answers may use it at once. */
export interface CompiledGrammar {
  readonly automaton: Automaton
  readonly masks: MaskCache<State>
  /** The vocabulary's, once they were asked for. */
  endTokens: readonly number[] | undefined
}

/** Bytes of masks kept for one grammar. */
const maxMaskBytes = 8 * 1024 * 1024

/** Throws GrammarError. */
export function compileGrammar(grammar: string, after: readonly string[], trie: TokenTrie): CompiledGrammar {
  const masks = createMaskCache<State>(maxMaskBytes)
  const automaton = createAutomaton(grammar, { after, lookahead: trie.longestToken, onForget: masks.clear })
  return { automaton, masks, endTokens: undefined }
}

/** Compiled grammars of earlier requests. */
export interface GrammarCache {
  /** Throws GrammarError. */
  get(team: string, grammar: string, after: readonly string[]): CompiledGrammar
}

/** Of `size` grammars; each may take some megabytes. */
export function createGrammarCache(trie: TokenTrie, size = 16): GrammarCache {
  const entries = new Map<string, CompiledGrammar>()
  return {
    get(team, grammar, after) {
      // Apart for each team: how long an answer takes must not tell what another team asks.
      const key = JSON.stringify([team, grammar, after])
      const compiled = entries.get(key) ?? compileGrammar(grammar, after, trie)
      entries.delete(key)
      entries.set(key, compiled)
      for (const oldest of entries.keys()) {
        if (entries.size <= size) break
        entries.delete(oldest)
      }
      return compiled
    },
  }
}
