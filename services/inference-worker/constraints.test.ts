import { expect, test } from 'vitest'
import { generateRequest } from '../../test/support/generate-request.ts'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import { createConstraints } from './constraints.ts'
import type { GeneratingEngine } from './engines/engine.ts'

const spellings = ['<end>', '<call>', 'a', 'b', 'é']
const [end, call, a, b] = [0, 1, 2, 3] as const
const engine: GeneratingEngine = {
  ...createScriptedEngine(),
  vocabularySize: spellings.length,
  texts: {
    text: (token) => Buffer.from(token > call ? (spellings[token] ?? '') : ''),
    spelling: (token) => Buffer.from(spellings[token] ?? ''),
    addsSpace: false,
  },
  isEndOfGeneration: (token) => token === end,
}

function create(grammar: string, visibleTokens: number[] = [], after: string[] = []) {
  const constraint = createConstraints(engine).create(generateRequest({ constraint: { grammar, after }, visibleTokens }))
  if (constraint === undefined) throw new TypeError('no constraint')
  return constraint
}

test('a request without a grammar has no constraint', () => {
  expect(createConstraints(engine).create(generateRequest())).toBeUndefined()
})

test('special tokens are part of the text when they are to be seen, whatever an earlier request wanted', () => {
  const constraints = createConstraints(engine)
  const grammar = 'root ::= "<call>" "a"'
  const request = (visibleTokens: number[]) => constraints.create(generateRequest({ constraint: { grammar, after: [] }, visibleTokens }))
  const seen = Uint8Array.of(1, 0, 1, 1, 1)
  expect(request([call])?.forbidden()).toEqual(seen)
  expect(() => request([])?.forbidden()).toThrow(expect.objectContaining({ reason: 'grammar_failed' }))
  expect(request([call])?.forbidden()).toEqual(seen)
})

test('the end of the turn may come where the grammar can end, and before it holds', () => {
  const constraint = create('root ::= "a" "b"?')
  expect(constraint.allows(end)).toBe(false)
  constraint.accept(a)
  expect([...constraint.forbidden()]).toEqual([0, 1, 1, 0, 1])
  constraint.accept(b)
  expect([...constraint.forbidden()]).toEqual([0, 1, 1, 1, 1])
  const later = create('root ::= "b"', [], ['aa'])
  expect(later.allows(end)).toBe(true)
  later.accept(a)
  later.accept(a)
  expect([...later.forbidden()]).toEqual([1, 1, 1, 0, 1])
})

test('what goes wrong is told without a word of the answer', () => {
  expect(() => create('root ::= "a')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', reason: 'invalid_grammar', param: 'grammar' }))
  const unspeakable = create('root ::= "z"')
  expect(() => unspeakable.forbidden()).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', reason: 'grammar_failed', param: 'grammar' }))
  expect(() => unspeakable.accept(a)).toThrow(expect.objectContaining({ code: 'INTERNAL', reason: 'grammar_failed' }))
})
