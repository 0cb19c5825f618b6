import fc from 'fast-check'
import { expect, test } from 'vitest'
import { greedySampling } from '../../../../test/support/real-worker.ts'
import { biasesOf } from './mask-bias.ts'

/** The likeliest token, as a server finds it. */
function likeliest(logits: readonly number[], biases: ReturnType<typeof biasesOf>): number {
  const biased = Float32Array.from(logits)
  for (const [token, bias] of biases) biased[token] = bias === 'never' ? Number.NEGATIVE_INFINITY : (biased[token] ?? 0) + bias
  return biased.indexOf(Math.max(...biased))
}

const logit = fc.integer({ min: -4000, max: 4000 }).map((value) => value / 100)

test('the likeliest of the tokens that are allowed comes, whatever is added', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ logit, isForbidden: fc.boolean(), bias: fc.option(fc.integer({ min: -100, max: 100 })) }), { minLength: 1, maxLength: 40 }),
      fc.constantFrom(1, 1.3),
      fc.constantFrom(0, 0.7, 100),
      (tokens, repeatPenalty, temperature) => {
        fc.pre(tokens.some(({ isForbidden }) => !isForbidden))
        const logitBias = new Map(tokens.flatMap(({ bias }, token) => (bias === null ? [] : [[token, bias] as const])))
        const forbidden = Uint8Array.from(tokens.map(({ isForbidden }) => Number(isForbidden)))
        const got = likeliest(tokens.map((token) => token.logit), biasesOf({ ...greedySampling, logitBias, repeatPenalty, temperature }, forbidden))
        const value = (token: number): number => (tokens[token]?.logit ?? 0) + (logitBias.get(token) ?? 0)
        const best = Math.max(...tokens.flatMap(({ isForbidden }, token) => (isForbidden ? [] : [value(token)])))
        expect(forbidden[got]).toBe(0)
        // As exact as 32 bits are so far up.
        expect(best - value(got)).toBeLessThan(temperature > 1 ? 0.02 : 0.001)
      },
    ),
  )
})

test('few tokens are lifted, many are left and the others banned; a repeat penalty would divide what lifts', () => {
  const forbidden = Uint8Array.of(1, 1, 0, 1, 1)
  const sampling = { ...greedySampling, logitBias: new Map([[0, 9], [2, -3]]) }
  expect(biasesOf(sampling, forbidden)).toEqual([[2, 997]])
  expect(biasesOf({ ...sampling, repeatPenalty: 1.1 }, forbidden)).toEqual([[2, -3], [0, 'never'], [1, 'never'], [3, 'never'], [4, 'never']])
  expect(biasesOf(sampling, Uint8Array.of(1, 0, 0, 0, 0))).toEqual([[2, -3], [0, 'never']])
  expect(biasesOf(sampling, undefined)).toEqual([[0, 9], [2, -3]])
})
