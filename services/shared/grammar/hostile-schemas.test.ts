import { expect, test } from 'vitest'
import { createGrammarBuilder } from './builder.ts'
import { createAutomaton } from './automaton.ts'
import { GrammarError } from './expression.ts'

/** Each names the next twice: 2^60 ways to the last. */
function doubling(keyword: string): unknown {
  const definitions: Record<string, unknown> = { r60: { type: 'integer' } }
  for (let index = 0; index < 60; index++) {
    const next = { $ref: `#/$defs/r${index + 1}` }
    definitions[`r${index}`] = { [keyword]: [next, next] }
  }
  return { $ref: '#/$defs/r0', $defs: definitions }
}

test.each(['allOf', 'anyOf'])('references that double at each step are gone through once: %s', (keyword) => {
  const builder = createGrammarBuilder()
  expect(builder.build(builder.schema(doubling(keyword), ''))).toContain('root ::=')
})

test('a grammar that is too ambiguous before it begins is no grammar', () => {
  const make = (): unknown => createAutomaton(`root ::= ${Array.from({ length: 9000 }, () => '"a"?').join(' ')}`)
  expect(make).toThrow(GrammarError)
  expect(make).toThrow('too many ways')
})
