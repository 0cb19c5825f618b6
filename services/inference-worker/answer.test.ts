import { expect, test } from 'vitest'
import { generateRequest } from '../../test/support/generate-request.ts'
import { type Answer, createAnswer } from './answer.ts'
import type { Constraint } from './constraint/constraint.ts'
import type { DecodedToken } from './engines/engine.ts'
import { createTokenTexts } from '../shared/vocabulary/token-texts.ts'

const vocabulary = ['</s>', '\u2581one', '\u2581two', '\u2581ST', 'OP', '<0xC3>', '<0xA9>', '<call>']
const [end, one, two, st, op, c3, a9, call] = vocabulary.keys().toArray() as [number, number, number, number, number, number, number, number]
const texts = createTokenTexts({
  model: 'llama',
  tokens: vocabulary,
  kindOf: (token) => (token === end || token === call ? 'special' : token === c3 || token === a9 ? 'byte' : 'text'),
  addsSpace: true,
})

type Fields = Parameters<typeof generateRequest>[0]

function answerTo(fields: Fields = {}, constraint?: Constraint): Answer {
  return createAnswer(texts, generateRequest({ tokens: [end], ...fields }), constraint)
}

function drawn(token: number): DecodedToken {
  return { token, logprobs: { logprob: -token, top: [{ token: end, logprob: -0.5 }] } }
}

test('a token that ends the turn is in no delta, even if it brings out what was held back', () => {
  const answer = answerTo({ stop: [' STOP'] })
  expect(answer.push(drawn(one), undefined).delta?.tokens).toEqual([one])
  expect(answer.push(drawn(st), undefined).delta).toBeUndefined()
  const { delta, stop } = answer.push(drawn(end), 'turn')
  expect(delta).toMatchObject({ text: ' ST', tokens: [st] })
  expect(delta?.logprobs.map(({ token }) => token?.token)).toEqual([st])
  expect(stop).toBeUndefined()
})

test('one that is to be seen is, and ends the turn all the same', () => {
  const answer = answerTo({ visibleTokens: [call] })
  expect(answer.push(drawn(one), undefined).delta?.text).toBe('one')
  expect(answer.push(drawn(call), 'turn').delta).toMatchObject({ text: '<call>', tokens: [call] })
})

test('the log-probability of a token has its text as it is in the answer, those beside it as they are spelt', () => {
  const answer = answerTo()
  const first = answer.push(drawn(one), undefined).delta?.logprobs[0]
  expect(first?.token).toEqual({ token: one, text: Buffer.from('one'), logprob: -one })
  expect(first?.top).toEqual([{ token: end, text: Buffer.from('</s>'), logprob: -0.5 }])
  expect(answer.push(drawn(two), undefined).delta?.logprobs[0]?.token?.text).toEqual(Buffer.from(' two'))
  expect(answer.push(drawn(c3), undefined).delta).toBeUndefined()
  expect(answer.push(drawn(a9), undefined).delta?.logprobs.map(({ token }) => token?.text)).toEqual([Buffer.of(0xc3), Buffer.of(0xa9)])
})

test('the stop sequence is told, and nothing of it shown', () => {
  const answer = answerTo({ stop: ['never', ' STOP'] })
  answer.push(drawn(one), undefined)
  answer.push(drawn(st), undefined)
  expect(answer.push(drawn(op), undefined)).toEqual({ delta: undefined, stop: ' STOP' })
})

test('a token in which a stop sequence begins is in no log-probabilities: it would show it', () => {
  const answer = answerTo({ stop: ['wo'] })
  answer.push(drawn(one), undefined)
  const { delta, stop } = answer.push(drawn(two), undefined)
  expect(delta).toMatchObject({ text: ' t', logprobs: [] })
  expect(stop).toBe('wo')
})

test('a constraint is told of each token but the last of the turn', () => {
  const accepted: number[] = []
  const constraint: Constraint = { allows: () => true, forbidden: () => new Uint8Array(), accept: (token) => void accepted.push(token) }
  const answer = answerTo({}, constraint)
  answer.push(drawn(one), undefined)
  answer.push(drawn(two), 'limit')
  answer.push(drawn(end), 'turn')
  expect(accepted).toEqual([one, two])
})

test('a grammar that holds from the beginning sees the first space, one that begins later does not', () => {
  const textWith = (after: string[]) => answerTo({ constraint: { grammar: '', after } }).push(drawn(one), undefined).delta?.text
  expect(textWith([])).toBe(' one')
  expect(textWith(['two'])).toBe('one')
})
