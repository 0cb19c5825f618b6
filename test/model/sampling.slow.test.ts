import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecodedToken, DecodeRequest, Sampling, TokenGuide } from '../../services/inference-worker/engines/engine.ts'
import { greedySampling, plainDecode, realOptions, type RealWorker, startRealWorker } from '../support/real-worker.ts'

const forever = new AbortController().signal
const prompt = [504, 3575]
/** What follows is as good as certain, and in it. */
const repetitive = 'one two three one two three one two three one two three one two'

let worker: RealWorker
/** The model's own probabilities of what follows the prompt, by llama.cpp, in a context of its own. */
let reference: ReadonlyMap<number, number>

beforeAll(async () => {
  worker = await startRealWorker()
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.disabled })
  const model = await llama.loadModel({ modelPath: realOptions.path })
  const context = await model.createContext({ contextSize: 64, sequences: 1, threads: 1 })
  const whole = { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1 } } }
  const results = await context.getSequence().controlledEvaluate([prompt[0] as Token, [prompt[1] as Token, whole]])
  reference = results[1]?.next.probabilities ?? new Map()
  await model.dispose()
}, 30_000)
afterAll(() => worker.close())

async function decode(count: number, request: Partial<DecodeRequest>, sampling: Partial<Sampling> = {}): Promise<DecodedToken[]> {
  const tokens: DecodedToken[] = []
  const whole = { ...plainDecode, ...request, sampling: { ...greedySampling, ...sampling } }
  for await (const token of worker.engine.decode(whole, forever)) {
    tokens.push(token)
    if (tokens.length === count) break
  }
  return tokens
}

async function draw(sampling: Partial<Sampling>, guide?: TokenGuide): Promise<number> {
  const [first] = await decode(1, { guide }, sampling)
  return first?.token ?? -1
}

/** Those whose probability is at least this part of all, likeliest first. */
function likeliest(least = 0): [token: number, probability: number][] {
  return [...reference].filter(([, probability]) => probability >= least).toSorted((a, b) => b[1] - a[1])
}

function places(forbidden: Iterable<number>): TokenGuide {
  const mask = new Uint8Array(worker.engine.vocabularySize)
  for (const token of forbidden) mask[token] = 1
  return { forced: () => undefined, allows: (token) => mask[token] === 0, forbidden: () => mask }
}

describe('what narrows the choice', () => {
  test('top_k keeps so many, min_p those near the likeliest', async () => {
    const [[first] = [-1], [second] = [-1], [third] = [-1]] = likeliest()
    const drawn = async (sampling: Partial<Sampling>): Promise<Set<number>> => {
      const tokens = new Set<number>()
      for (let seed = 0; seed < 24; seed += 1) tokens.add(await draw({ temperature: 30, seed, ...sampling }))
      return tokens
    }
    expect(await drawn({ topK: 1 })).toEqual(new Set([first]))
    expect(await drawn({ topK: 3 })).toEqual(new Set([first, second, third]))
    expect(await drawn({ minP: 1 })).toEqual(new Set([first]))
    const half = likeliest((reference.get(first) ?? 0) * 0.5).map(([token]) => token)
    expect(half.length).toBeLessThan(10)
    for (const token of await drawn({ minP: 0.5 })) expect(half).toContain(token)
  })

  test('top_p counts the model\'s own probabilities, whatever the temperature', async () => {
    let sum = 0
    const kept = likeliest().filter(([, probability]) => {
      const before = sum
      sum += probability
      return before < 0.3
    })
    for (let seed = 0; seed < 24; seed += 1)
      expect(kept.map(([token]) => token)).toContain(await draw({ temperature: 30, topP: 0.3, seed }))
  })
})

describe('what shapes the logits', () => {
  test('logit_bias bans, forces, and adds', async () => {
    const [[first, p] = [-1, 0], [second, q] = [-1, 0]] = likeliest()
    expect(await draw({ logitBias: new Map([[first, -100]]) })).toBe(second)
    expect(await draw({ logitBias: new Map([[777, 100]]) })).toBe(777)
    const gap = Math.log(p / q)
    expect(await draw({ logitBias: new Map([[second, gap * 0.9]]) })).toBe(first)
    expect(await draw({ logitBias: new Map([[second, gap * 1.1]]) })).toBe(second)
  })

  test.each([
    { presencePenalty: 1.5 },
    { frequencyPenalty: 0.7 },
    { presencePenalty: -0.8, frequencyPenalty: 0.4, logitBias: new Map([[198, -2], [30, 3]]) },
  ])('each greedy token is the best by the definition: %o', async (sampling) => {
    const tokens = await decode(60, { tokens: worker.chat('Say the word owl again and again.'), topLogprobs: 20 }, sampling)
    const counts = new Map<number, number>()
    const { presencePenalty = 0, frequencyPenalty = 0, logitBias } = sampling as Partial<Sampling>
    let different = 0
    for (const { token, logprobs } of tokens) {
      const top = logprobs?.top ?? []
      const scores = new Map(top.map(({ token, logprob }) => {
        const count = counts.get(token) ?? 0
        const penalty = (count > 0 ? presencePenalty : 0) + count * frequencyPenalty
        return [token, logprob + (logitBias?.get(token) ?? 0) - penalty]
      }))
      const best = Math.max(...scores.values())
      // Where the best is not certainly among those that were told, nothing is known.
      if (best - 4 > (top.at(-1)?.logprob ?? 0)) expect(scores.get(token)).toBeCloseTo(best, 3)
      if (token !== top[0]?.token) different += 1
      counts.set(token, (counts.get(token) ?? 0) + 1)
    }
    expect(different).toBeGreaterThan(0)
  })

  test('the prompt counts for repeat_penalty, as far as its window, and not for the others', async () => {
    const tokens = worker.vocabulary.tokenize(repetitive)
    const next = async (sampling: Partial<Sampling>) => (await decode(1, { tokens }, sampling))[0]?.token ?? -1
    const expected = await next({})
    expect(tokens).toContain(expected)
    const behind = tokens.length - tokens.lastIndexOf(expected as Token)
    expect(await next({ presencePenalty: 2, frequencyPenalty: 2 })).toBe(expected)
    expect(await next({ repeatPenalty: 50, penaltyWindow: behind })).not.toBe(expected)
    expect(behind).toBeGreaterThan(1)
    expect(await next({ repeatPenalty: 1.01, penaltyWindow: behind - 1 })).toBe(expected)
  })

  test('repeat_penalty ends a repetition', async () => {
    const tokens = worker.vocabulary.tokenize('owl owl owl owl owl owl owl owl')
    const repeated = (decoded: readonly DecodedToken[]): number => decoded.length - new Set(decoded.map(({ token }) => token)).size
    const plain = repeated(await decode(24, { tokens }))
    expect(plain).toBeGreaterThan(10)
    expect(repeated(await decode(24, { tokens }, { repeatPenalty: 3, penaltyWindow: 64 }))).toBe(0)
  })

  test('the same seed gives the same tokens with everything on', async () => {
    const sampling = { temperature: 1, topK: 50, minP: 0.01, repeatPenalty: 1.1, presencePenalty: 0.2, frequencyPenalty: 0.1, seed: 5 }
    const run = async () => (await decode(24, {}, sampling)).map(({ token }) => token)
    expect(await run()).toEqual(await run())
  })
})

describe('log-probabilities', () => {
  test('are those of llama.cpp, of likely and of unlikely tokens', async () => {
    const tokens = [...likeliest().slice(0, 30), ...likeliest().slice(-10), ...likeliest().filter((_, rank) => rank % 2000 === 0)]
    for (const [token, probability] of tokens) {
      const guide: TokenGuide = { forced: () => token, allows: () => false, forbidden: () => new Uint8Array() }
      const [decoded] = await decode(1, { guide, topLogprobs: 20 })
      expect(decoded?.token).toBe(token)
      expect(decoded?.logprobs?.logprob).toBeCloseTo(Math.log(probability), 2)
      expect(decoded?.logprobs?.top.map(({ token }) => token)).toEqual(likeliest().slice(0, 20).map(([token]) => token))
    }
  }, 60_000)

  test('do not change with what shapes the sampling', async () => {
    const [plain] = await decode(1, { topLogprobs: 5 })
    expect(plain?.logprobs?.top).toHaveLength(5)
    expect(plain?.token).toBe(plain?.logprobs?.top[0]?.token)
    expect(plain?.logprobs?.logprob).toBe(plain?.logprobs?.top[0]?.logprob)
    const [shaped] = await decode(1, { topLogprobs: 5 }, { temperature: 5, topK: 3, repeatPenalty: 5, logitBias: new Map([[777, 9]]) })
    expect(shaped?.logprobs?.top).toEqual(plain?.logprobs?.top)
    const [none] = await decode(1, { topLogprobs: 0 })
    expect(none?.logprobs).toEqual({ logprob: plain?.logprobs?.logprob, top: [] })
  })

  test('asking for them does not change the answer', async () => {
    const sampling = { temperature: 1, seed: 3 }
    const tokens = (decoded: readonly DecodedToken[]): number[] => decoded.map(({ token }) => token)
    expect(tokens(await decode(24, { topLogprobs: 3 }, sampling))).toEqual(tokens(await decode(24, {}, sampling)))
  })
})

describe('a guide', () => {
  test('leaves the others as likely among each other as they were', async () => {
    const [[first] = [-1], ...others] = likeliest()
    const guide = places([first])
    const rounds = 240
    const counts = new Map<number, number>()
    for (let seed = 0; seed < rounds; seed += 1) {
      const token = await draw({ temperature: 1, seed: seed * 7919 }, guide)
      expect(token).not.toBe(first)
      counts.set(token, (counts.get(token) ?? 0) + 1)
    }
    const all = others.reduce((sum, [, probability]) => sum + probability, 0)
    for (const [token, probability] of others.slice(0, 3)) {
      const expected = (rounds * probability) / all
      // Five standard deviations.
      expect(Math.abs((counts.get(token) ?? 0) - expected)).toBeLessThan(5 * Math.sqrt(expected) + 1)
    }
  }, 60_000)

  test('forces tokens, which count for the penalties of those that follow', async () => {
    const prompt = worker.vocabulary.tokenize(repetitive)
    const words = worker.vocabulary.tokenize(' three one two three one two')
    const run = async (sampling: Partial<Sampling>): Promise<number[]> => {
      const left = [...words]
      const guide: TokenGuide = { forced: () => left.shift(), allows: () => true, forbidden: () => new Uint8Array() }
      return (await decode(words.length + 1, { tokens: prompt, guide }, sampling)).map(({ token }) => token)
    }
    const plain = await run({})
    expect(plain.slice(0, -1)).toEqual(words)
    expect(words).toContain(plain.at(-1))
    for (const penalty of [{ frequencyPenalty: 10 }, { repeatPenalty: 50 }]) expect(words).not.toContain((await run(penalty)).at(-1))
  })

  test('a greedy token is the best of those that may come', async () => {
    const ranked = likeliest().map(([token]) => token)
    for (const count of [1, 5, 1000]) expect(await draw({}, places(ranked.slice(0, count)))).toBe(ranked[count])
    const only = ranked.at(-1) ?? -1
    expect(await draw({ temperature: 1 }, places(ranked.slice(0, -1)))).toBe(only)
  })

  test('what it throws ends the request and nothing else', async () => {
    const failing: TokenGuide = {
      forced: () => undefined,
      allows() {
        throw new RangeError('from the guide')
      },
      forbidden: () => new Uint8Array(),
    }
    const neighbour = decode(16, { slot: 1 })
    await expect(decode(4, { guide: failing })).rejects.toThrow('from the guide')
    expect(await neighbour).toHaveLength(16)
    expect(await decode(4, {})).toHaveLength(4)
  })
})
