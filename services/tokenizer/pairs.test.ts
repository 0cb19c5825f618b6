import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type PairForm, readPairForm } from './pair-form.ts'
import { createPairs } from './pairs.ts'
import type { Piece } from './special-tokens.ts'
import type { SpecialToken } from './vocabulary.ts'

const control = (id: number, text: string): SpecialToken => ({ id, text, control: true, stripLeft: false, stripRight: false })
const specialTokens = [control(1, '[CLS]'), control(2, '[SEP]'), control(3, '<|end|>')]
const plain: PairForm = { template: undefined, before: [1], between: [2], after: [2] }
const templated: PairForm = { ...plain, template: 'Q: {query}\nD: {document}<|end|>' }

const written = (pieces: readonly Piece[]): string => pieces.map((piece) => (typeof piece === 'string' ? piece : `‹${piece.id}›`)).join('')

test('without a template the tokens stand around query and document', () => {
  const pairs = createPairs({ pairForm: plain, specialTokens })
  expect(written(pairs?.('where?', 'there') ?? [])).toBe('‹1›where?‹2›there‹2›')
})

test('a template is filled in one pass', () => {
  const pairs = createPairs({ pairForm: templated, specialTokens })
  expect(written(pairs?.('what is {document}?', '$& {query}') ?? [])).toBe('Q: what is {document}?\nD: $& {query}‹3›')
})

test.each([plain, templated])('no text of a client becomes a special token', (pairForm) => {
  const text = fc.array(fc.constantFrom('[CLS]', '[SEP]', '<|end|>', '<|', 'end|>', '[', 'SEP]', 'a', '{query}', '{document}')).map((parts) => parts.join(''))
  const pairs = createPairs({ pairForm, specialTokens })
  const ids = (query: string, document: string): number[] => (pairs?.(query, document) ?? []).flatMap((piece) => (typeof piece === 'string' ? [] : [piece.id]))
  fc.assert(
    fc.property(text, text, (query, document) => {
      expect(ids(query, document)).toEqual(ids('q', 'd'))
    }),
  )
})

test('a model that does not rerank makes no pairs', () => {
  expect(createPairs({ pairForm: undefined, specialTokens })).toBeUndefined()
})

const tokens = (change: object) => ({ tokens: { bos: 1, eos: 3, sep: 2, shouldPrependBosToken: true, shouldAppendEosToken: false, ...change } }) as unknown as Parameters<typeof readPairForm>[0]

test.each<[string, object, Parameters<typeof readPairForm>[1], Omit<PairForm, 'template'>]>([
  ['BERT', { eos: null }, { model: 'bert' }, { before: [1], between: [2], after: [] }],
  ['BERT that is told to have none', { eos: null }, { model: 'bert', add_sep_token: false }, { before: [1], between: [], after: [] }],
  ['XLM-RoBERTa', { shouldAppendEosToken: true }, { model: 't5', add_sep_token: true }, { before: [1], between: [3, 2], after: [3] }],
  ['RoBERTa', { shouldAppendEosToken: true }, { model: 'gpt2', pre: 'jina-v1-en' }, { before: [1], between: [3, 2], after: [3] }],
  ['one that ends with its separator', { eos: null, shouldAppendEosToken: true }, { model: 't5' }, { before: [1], between: [2], after: [2] }],
  ['one without any', { shouldPrependBosToken: false }, { model: 'gpt2', pre: 'qwen2' }, { before: [], between: [], after: [] }],
])('%s', (_name, change, metadata, form) => {
  expect(readPairForm(tokens(change), metadata, undefined, 'x.gguf')).toEqual({ template: undefined, ...form })
})

test('a template that lacks one of the two is told', () => {
  expect(() => readPairForm(tokens({}), { model: 'gpt2' }, 'only {query}', 'x.gguf')).toThrow('x.gguf')
})
