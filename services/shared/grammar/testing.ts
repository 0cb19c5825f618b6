/** For tests: whole texts against grammars and schemas. */
import { type AutomatonOptions, createAutomaton } from './automaton.ts'
import { createGrammarBuilder } from './builder.ts'
import { isAlive, type State } from './state.ts'

export type Matcher = (text: string | Uint8Array) => boolean

export function grammarMatcher(grammar: string, options?: AutomatonOptions): Matcher {
  const automaton = createAutomaton(grammar, options)
  return (text) => {
    let state: State = automaton.start
    for (const [index, byte] of Buffer.from(text).entries()) {
      // As if each few bytes were a token.
      if (index % 8 === 0) state = automaton.renew(state)
      state = automaton.step(state, byte)
      if (!isAlive(state)) return false
    }
    return state.ends
  }
}

export function schemaMatcher(schema: unknown): Matcher {
  return grammarMatcher(schemaGrammar(schema))
}

export function schemaGrammar(schema: unknown): string {
  const builder = createGrammarBuilder()
  return builder.build(builder.schema(schema, ''))
}
