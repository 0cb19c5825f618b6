import { GrammarError } from '../shared/grammar/expression.ts'
import { MatchError } from '../shared/grammar/match-error.ts'
import { ServiceError } from '../shared/errors.ts'
import type { GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { createGrammarCache, type GrammarCache } from './constraint/compiled-grammar.ts'
import { type Constraint, createConstraint } from './constraint/constraint.ts'
import { createTokenTrie, type TokenTrie } from './constraint/token-trie.ts'
import type { Vocabulary as EngineVocabulary } from './engines/engine.ts'

/** Constraints over an engine's vocabulary. */
export interface Constraints {
  /** For one answer; undefined when the request has none. Throws INVALID_ARGUMENT invalid_grammar; its methods throw grammar_failed. */
  create(request: GenerateRequest): Constraint | undefined
}

interface Vocabulary {
  trie: TokenTrie
  grammars: GrammarCache
}

/** Which tokens are visible changes only with whether the answer may have tool calls or reasoning. */
const maxVocabularies = 4

export function createConstraints(engine: EngineVocabulary): Constraints {
  const vocabularies = new Map<string, Vocabulary>()

  function vocabularyFor(visibleTokens: readonly number[]): Vocabulary {
    const visible = new Set(visibleTokens)
    const key = [...visible].sort((a, b) => a - b).join(' ')
    const found = vocabularies.get(key) ?? createVocabulary(engine, visible)
    vocabularies.delete(key)
    vocabularies.set(key, found)
    for (const oldest of vocabularies.keys()) {
      if (vocabularies.size <= maxVocabularies) break
      vocabularies.delete(oldest)
    }
    return found
  }

  return {
    create({ constraint, visibleTokens, team }) {
      if (constraint === undefined) return undefined
      const { grammar, after } = constraint
      const { trie, grammars } = vocabularyFor(visibleTokens)
      try {
        const compiled = grammars.get(team, grammar, after)
        return explained(createConstraint({ grammar, after, trie, compiled, isEnd: engine.isEndOfGeneration }))
      } catch (thrown) {
        if (!(thrown instanceof GrammarError)) throw thrown
        throw new ServiceError('INVALID_ARGUMENT', 'invalid_grammar', `The grammar can't be used. ${thrown.message}`, { param: 'grammar' })
      }
    },
  }
}

function createVocabulary({ texts, vocabularySize }: EngineVocabulary, visible: ReadonlySet<number>): Vocabulary {
  const trie = createTokenTrie((token) => (visible.has(token) ? texts.spelling(token) : texts.text(token)), vocabularySize)
  return { trie, grammars: createGrammarCache(trie) }
}

/** The same, with its errors in words for the client. */
function explained({ allows, forbidden, accept }: Constraint): Constraint {
  function explain<T>(call: () => T): T {
    try {
      return call()
    } catch (thrown) {
      if (!(thrown instanceof MatchError)) {
        throw new ServiceError('INTERNAL', 'grammar_failed', 'The answer could not be kept to the grammar.', { cause: thrown })
      }
      throw new ServiceError('INVALID_ARGUMENT', 'grammar_failed', `The answer can't go on as the grammar wants. ${thrown.message}`, {
        param: 'grammar',
      })
    }
  }
  return {
    allows: (token) => explain(() => allows(token)),
    forbidden: () => explain(forbidden),
    accept: (token) => explain(() => accept(token)),
  }
}
