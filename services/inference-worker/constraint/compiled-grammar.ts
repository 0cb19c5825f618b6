import { createAutomaton, type Automaton } from '../../shared/grammar/automaton.ts'
import type { State } from '../../shared/grammar/state.ts'
import type { TokenTrie } from './token-trie.ts'

/** A grammar over a vocabulary, with what was found out about it; any number of answers may use it at once. */
export interface CompiledGrammar {
  readonly automaton: Automaton
  /** For states, the tokens that may not come next, 1 for each; the last used come last. */
  readonly masks: Map<State, Uint8Array>
  /** The vocabulary's, once they were asked for. */
  endTokens: readonly number[] | undefined
}

/** Throws GrammarError. */
export function compileGrammar(grammar: string, after: readonly string[], trie: TokenTrie): CompiledGrammar {
  return { automaton: createAutomaton(grammar, { after, lookahead: trie.longestToken }), masks: new Map(), endTokens: undefined }
}

/** Compiled grammars of earlier requests. */
export interface GrammarCache {
  get(team: string, grammar: string, after: readonly string[]): CompiledGrammar
}

/** Of `size` grammars; each may take some megabytes. */
export function createGrammarCache(trie: TokenTrie, size = 16): GrammarCache {
  const entries = new Map<string, CompiledGrammar>()
  return {
    get(team, grammar, after) {
      // One for each team: how long an answer takes must not tell what another team asks.
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
