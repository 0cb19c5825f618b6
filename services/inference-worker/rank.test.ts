import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { createScriptedEmbeddingEngine } from '../../test/support/scripted-embedding-engine.ts'
import type { Engine, RankingEngine } from './engines/engine.ts'
import { createMetrics } from './metrics.ts'
import { checked } from './rank.ts'
import { createInferenceService } from './service.ts'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

/** The score of an input is a hundredth of its first token; 200 has none. */
const scripted: RankingEngine = {
  kind: 'ranking',
  model: 'scripted',
  contextLength: 8,
  slots: 2,
  vocabularySize: 1000,
  rank: (tokens, signal) => (signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve((tokens[0] ?? 0) / 100)),
  stepMs: () => 0,
  close: () => Promise.resolve(),
}

async function start(engine: Engine = scripted) {
  const options = { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 }
  const service = createInferenceService({ engine, options, log: pino({ level: 'silent' }), metrics: createMetrics(new Registry()), onHang: () => undefined })
  closers.push(() => service.close())
  await vi.waitUntil(() => service.ready())
  return (inputs: readonly number[][], signal = new AbortController().signal) =>
    service.rank({ model: 'scripted', team: 'default', weight: 0, batch: false, inputs: inputs.map((tokens) => ({ tokens })) }, { requestId: 'r', peer: 'gateway', signal })
}

test('each input has its score, in their order', async () => {
  const rank = await start()
  expect(await rank([[50], [1, 2], [100]])).toMatchObject({ scores: [0.5, 0.01, 1] })
})

test.each<[string, number[][], object]>([
  ['no input', [], { code: 'INVALID_ARGUMENT', reason: 'invalid_value' }],
  ['too many', Array.from({ length: 65 }, () => [1]), { reason: 'invalid_value' }],
  ['an empty one', [[1], []], { reason: 'empty_prompt' }],
  ['one that is too long', [[1], [1, 2, 3, 4, 5, 6, 7, 8, 9]], { reason: 'context_length_exceeded', message: expect.stringContaining('9 tokens; the model takes at most 8') as string }],
  ['an unknown token', [[1000]], { reason: 'unknown_token' }],
  ['one without a score', [[200]], { code: 'UNAVAILABLE', reason: 'engine_failed' }],
])('%s is refused', async (_what, inputs, error) => {
  const rank = await start()
  await expect(rank(inputs)).rejects.toMatchObject(error)
})

test('a score is a number from 0 to 1', () => {
  expect([0, 0.5, 1].map(checked)).toEqual([0, 0.5, 1])
  for (const score of [Number.NaN, -0.1, 1.1, Number.POSITIVE_INFINITY]) expect(() => checked(score)).toThrow('no score')
})

test('a model that embeds does not rank, and one that ranks does not embed', async () => {
  const rank = await start(createScriptedEmbeddingEngine())
  await expect(rank([[1]])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'not_a_reranking_model' })
})

test('a cancelled call ends and frees its slot', async () => {
  const rank = await start()
  const gone = new AbortController()
  gone.abort()
  await expect(rank([[1]], gone.signal)).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(await rank([[1]])).toMatchObject({ scores: [0.01] })
})
