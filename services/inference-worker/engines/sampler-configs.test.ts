import { expect, test } from 'vitest'
import type { Sampling } from './engine.ts'
import type { SamplerConfig } from './llama-internals.ts'
import { createSamplerConfigs } from './sampler-configs.ts'

const plain: Sampling = {
  temperature: 0.7,
  topP: 1,
  topK: 0,
  minP: 0,
  repeatPenalty: 1,
  penaltyWindow: 64,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map(),
  seed: 5,
}

function biases(config: SamplerConfig | undefined): Record<number, number> {
  return Object.fromEntries(Array.from(config?.tokenBiasKeys ?? [], (token, index) => [token, config?.tokenBiasValues?.[index] ?? Number.NaN]))
}

test('what changes nothing is left out, and the sampler is told once', () => {
  const configs = createSamplerConfigs(plain, [1, 2])
  expect(configs.next()).toEqual({ temperature: 0.7, seed: 5 })
  configs.took(9)
  expect(configs.next()).toBeUndefined()
})

test('after a try without some tokens it is told again', () => {
  const configs = createSamplerConfigs({ ...plain, logitBias: new Map([[3, 1.5]]) }, [1])
  configs.next()
  expect(biases(configs.without(Uint8Array.of(0, 1, 0, 0, 1)))).toEqual({ 1: Number.NEGATIVE_INFINITY, 3: 1.5, 4: Number.NEGATIVE_INFINITY })
  expect(biases(configs.next())).toEqual({ 3: 1.5 })
  expect(configs.next()).toBeUndefined()
})

test('a token that is biased and forbidden stays forbidden', () => {
  const configs = createSamplerConfigs({ ...plain, logitBias: new Map([[1, 100]]) }, [1])
  const { tokenBiasKeys = [], tokenBiasValues = [] } = configs.without(Uint8Array.of(0, 1))
  // The sampler adds all of them.
  const sum = Array.from(tokenBiasKeys).reduce((sum, token, index) => (token === 1 ? sum + (tokenBiasValues[index] ?? 0) : sum), 0)
  expect(sum).toBe(Number.NEGATIVE_INFINITY)
})

test('penalties count the answer, the repeat penalty its window of prompt and answer', () => {
  const configs = createSamplerConfigs(
    { ...plain, presencePenalty: 1, frequencyPenalty: 0.25, logitBias: new Map([[9, 2]]), repeatPenalty: 1.5, penaltyWindow: 3 },
    [1, 2, 3, 4],
  )
  expect(configs.next()?.repeatPenaltyTokens).toEqual(Uint32Array.of(2, 3, 4))
  for (const token of [9, 8, 9]) configs.took(token)
  const config = configs.next()
  expect(config).toMatchObject({ repeatPenalty: 1.5, repeatPenaltyMaxTokens: 3, repeatPenaltyTokens: Uint32Array.of(9, 8, 9) })
  expect(biases(config)).toEqual({ 8: -1.25, 9: 2 - 1.5 })
})

test('the sampler is told another seed first, at the edges of what a seed may be, too', () => {
  for (const seed of [0, 1, 5, 0xffff_fffd, 0xffff_fffe, 0xffff_ffff]) {
    const configs = createSamplerConfigs({ ...plain, seed }, [1])
    expect(configs.reset().seed).not.toBe(configs.next()?.seed)
  }
})

test('values at the edges are those that llama.cpp can take', () => {
  expect(createSamplerConfigs({ ...plain, temperature: 1e-30, seed: 0xffff_ffff }, [1]).next()).toEqual({ temperature: 0, seed: 0xffff_fffe })
  expect(createSamplerConfigs({ ...plain, topK: 3, topP: 0.5, minP: 0.1 }, [1]).next()).toMatchObject({ topK: 3, topP: 0.5, minP: 0.1 })
})
