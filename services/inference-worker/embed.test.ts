import fc from 'fast-check'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import type { EmbedRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { createScriptedEmbeddingEngine, type EmbeddingScript } from '../../test/support/scripted-embedding-engine.ts'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import { normalise } from './embed.ts'
import type { Engine } from './engines/engine.ts'
import { createMetrics } from './metrics.ts'
import { createInferenceService, type InferenceOptions } from './service.ts'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

async function startService(script: EmbeddingScript, options: Partial<InferenceOptions> = {}, engine: Engine = createScriptedEmbeddingEngine(script)) {
  const registry = new Registry()
  const lines: unknown[] = []
  const onHang = vi.fn<() => void>()
  const service = createInferenceService({
    engine,
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000, ...options },
    log: pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    metrics: createMetrics(registry),
    onHang,
  })
  closers.push(() => service.close())
  await vi.waitUntil(() => service.ready())
  const embed = async (inputs: readonly number[][], signal = new AbortController().signal) => {
    const request: EmbedRequest = { model: 'scripted', team: 'default', weight: 0, batch: false, inputs: inputs.map((tokens) => ({ tokens })) }
    const { embeddings } = await service.embed(request, { requestId: 'r1', peer: 'gateway', signal })
    return embeddings.map(({ values }) => values)
  }
  const metric = async (name: string) => (await registry.metrics()).split('\n').filter((text) => text.startsWith(name))
  return { service, embed, lines, metric, onHang, registry }
}

test('each input has its vector, of length 1, in their order', async () => {
  const { embed } = await startService({ dimensions: 5 })
  const [one, two, again] = await embed([[1, 2], [3], [1, 2]])
  expect(one).toEqual(again)
  expect(one).not.toEqual(two)
  for (const vector of [one, two]) expect(Math.hypot(...(vector ?? []))).toBeCloseTo(1, 12)
})

test('a vector is normalised, and one without a direction is none', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 1 }), fc.double({ min: 0.1, max: 100, noNaN: true }), (rest, first) => {
      const vector = [first, ...rest]
      const unit = normalise(vector)
      expect(Math.hypot(...unit)).toBeCloseTo(1, 9)
      unit.forEach((value, place) => expect(value * Math.hypot(...vector)).toBeCloseTo(vector[place] ?? 0, 6))
    }),
  )
  for (const vector of [[], [0, 0], [Number.NaN, 1], [Number.POSITIVE_INFINITY]]) expect(() => normalise(vector)).toThrow('no vector')
})

test.each<[string, number[][], object]>([
  ['no input', [], { code: 'INVALID_ARGUMENT', reason: 'invalid_value' }],
  ['too many inputs', Array.from({ length: 65 }, () => [1]), { code: 'INVALID_ARGUMENT', reason: 'invalid_value' }],
  ['an empty input', [[1], []], { code: 'INVALID_ARGUMENT', reason: 'empty_prompt', message: 'Input 1 has no tokens.' }],
  ['an input that is too long', [Array.from({ length: 11 }, () => 1)], { reason: 'context_length_exceeded' }],
  ['a token that is none', [[1, 4_000_000_000]], { code: 'INVALID_ARGUMENT', reason: 'unknown_token' }],
])('%s is refused', async (_what, inputs, error) => {
  const { embed, metric } = await startService({ contextLength: 10 })
  await expect(embed(inputs)).rejects.toMatchObject(error)
  expect(await metric('intramuros_worker_requests_total{outcome="refused"}')).toHaveLength(1)
})

test('a model that generates makes none', async () => {
  const { embed } = await startService({}, {}, createScriptedEngine())
  await expect(embed([[1]])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'not_an_embedding_model' })
})

test('requests wait for a slot; a full queue refuses', async () => {
  const { embed, metric } = await startService({ slots: 1, delayMs: 20 }, { maxQueued: 1 })
  const first = embed([[1]])
  const second = embed([[2]])
  await expect(embed([[3]])).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'queue_full' })
  await Promise.all([first, second])
  expect(await metric('intramuros_worker_busy_slots')).toEqual(['intramuros_worker_busy_slots 0'])
})

test('teams have their turns by what was done for them and their weights, and work that can wait comes last', async () => {
  const { service } = await startService({ slots: 1, delayMs: 1 }, { maxQueued: 100 })
  const order: string[] = []
  const ask = async (team: string, weight: number, batch: boolean) => {
    await service.embed({ model: 'scripted', team, weight, batch, inputs: [{ tokens: [1, 2, 3, 4] }] }, { requestId: 'r', peer: 'gateway', signal: new AbortController().signal })
    order.push(team)
  }
  const many = (count: number, ...share: Parameters<typeof ask>): Promise<void>[] => Array.from({ length: count }, () => ask(...share))
  await Promise.all([...many(3, 'patient', 1, true), ...many(12, 'flood', 1, false), ...many(6, 'double', 2, false), ...many(2, 'few', 0, false)])
  // The first found the slot free.
  expect(order[0]).toBe('patient')
  expect(order.slice(-2)).toEqual(['patient', 'patient'])
  // Of the first eight of the others, whoever weighs twice has twice as many; a weight of 0 is that of 1.
  const begin = order.slice(1, 9)
  expect(begin.filter((team) => team === 'few')).toHaveLength(2)
  expect(begin.filter((team) => team === 'double')).toHaveLength(4)
  expect(begin.filter((team) => team === 'flood')).toHaveLength(2)
})

test('a cancel takes effect between two inputs, and in the queue', async () => {
  const { embed, metric, lines } = await startService({ slots: 1, delayMs: 20 })
  const gone = new AbortController()
  const running = embed(Array.from({ length: 64 }, (_, index) => [index]), gone.signal)
  const queued = embed([[1]], gone.signal)
  const next = embed([[2]])
  gone.abort()
  await expect(running).rejects.toMatchObject({ code: 'CANCELLED' })
  await expect(queued).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(await next).toHaveLength(1)
  expect(await metric('intramuros_worker_busy_slots')).toEqual(['intramuros_worker_busy_slots 0'])
  const cancelled = lines.filter((line) => (line as { outcome?: string }).outcome === 'cancelled') as { inputTokens: number }[]
  expect(Math.max(...cancelled.map(({ inputTokens }) => inputTokens))).toBeLessThan(4)
})

test('a failing engine ends the request as UNAVAILABLE', async () => {
  const { embed, lines } = await startService({ slots: 1, failAt: 7 })
  await expect(embed([[1], [7]])).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
  expect(await embed([[1]])).toHaveLength(1)
  expect(JSON.stringify(lines)).not.toContain('scripted failure')
})

test('one that hangs is noticed', async () => {
  const { embed, onHang, service } = await startService({ hangAt: 7 }, { stepTimeoutMs: 50 })
  const stuck = embed([[7]]).catch(() => 'ended')
  await vi.waitUntil(() => onHang.mock.calls.length > 0, 5000)
  expect(service.ready()).toBe(false)
  await service.close()
  await stuck
})

test('draining lets it end, and ends what does not in time', async () => {
  const { embed, service } = await startService({ slots: 1, delayMs: 20 })
  const running = embed([[1], [2]])
  await service.drain(new AbortController().signal)
  expect(await running).toHaveLength(2)
  await expect(embed([[1]])).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
  const other = await startService({ slots: 1, delayMs: 50 })
  const late = other.embed(Array.from({ length: 64 }, () => [1])).catch((thrown: unknown) => thrown)
  await other.service.drain(AbortSignal.timeout(20))
  expect(await late).toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
})

test('one line a request, counts and times, nothing of its content', async () => {
  const { embed, lines, registry } = await startService({})
  await embed([[711_411, 711_412], [711_413]])
  expect(lines).toMatchObject([
    { msg: 'the model answers' },
    { msg: 'embed', level: 30, requestId: 'r1', outcome: 'done', inputs: 2, inputTokens: 3 },
  ])
  expect(JSON.stringify(lines) + (await registry.metrics())).not.toContain('71141')
  expect(await registry.metrics()).toContain('intramuros_worker_tokens_total{direction="input"} 3')
})
