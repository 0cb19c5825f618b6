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

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

test.each([
  ['many conditions times many alternatives', { allOf: numbers(2000).map(() => ({ minLength: 1 })), anyOf: numbers(2000).map((index) => ({ maxLength: index + 1 })) }],
  ['alternatives that must be compared in pairs', { oneOf: numbers(2000).map((index) => ({ const: index })) }],
  ['long lists that must be compared in pairs', { oneOf: numbers(90).map((index) => ({ enum: numbers(500).map((value) => index * 500 + value) })) }],
  ['alternatives of alternatives', { allOf: numbers(10).map((i) => ({ anyOf: numbers(10).map((j) => ({ type: 'object', properties: { [`a${i}_${j}`]: { type: 'integer' } } })) })) }],
  ['properties of many parts', { allOf: numbers(900).map((index) => ({ type: 'object', properties: { [`p${index}`]: { type: 'integer' } } })) }],
])('what would take too many steps is refused before it has taken them: %s', (_, schema) => {
  const builder = createGrammarBuilder()
  expect(() => builder.schema(schema, '')).toThrow(/too complex|more than 5000 rules/)
})

test('what people write is far from that', () => {
  const builder = createGrammarBuilder()
  const property = { anyOf: [{ type: 'string', maxLength: 50 }, { type: 'array', items: { enum: ['a', 'b', 'c'] } }, { type: 'null' }] }
  const schema = { type: 'object', properties: Object.fromEntries(numbers(300).map((index) => [`p${index}`, property])), additionalProperties: false }
  expect(builder.build(builder.schema(schema, ''))).toContain('p299')
})
