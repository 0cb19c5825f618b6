import fc from 'fast-check'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { generateRequest } from '../../test/support/generate-request.ts'
import { createScriptedEmbeddingEngine } from '../../test/support/scripted-embedding-engine.ts'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import type { Engine } from './engines/engine.ts'
import { createWorkerLoad } from './load.ts'
import { createMetrics } from './metrics.ts'
import { createInferenceService } from './service.ts'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

async function startService(engine: Engine) {
  const registry = new Registry()
  const options = { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 }
  const service = createInferenceService({ engine, options, log: pino({ level: 'silent' }), metrics: createMetrics(registry), onHang: () => undefined })
  closers.push(() => service.close())
  await vi.waitUntil(() => service.ready())
  const gauge = async (name: string) => Number(new RegExp(`^intramuros_worker_${name} (\\d+)$`, 'm').exec(await registry.metrics())?.[1])
  const gone = new AbortController()
  const call = { requestId: 'r', peer: 'gateway', signal: gone.signal }
  return { service, call, gone, inFlight: () => gauge('tokens_in_flight'), queued: () => gauge('queued_requests') }
}

test('tokens in flight are what the requests under way have left, whatever they do', () => {
  const step = fc.oneof(
    fc.record({ enter: fc.nat(1000) }),
    fc.record({ done: fc.nat(1500), of: fc.nat() }),
    fc.record({ leave: fc.nat() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const load = createWorkerLoad()
      const under: { entry: ReturnType<typeof load.enter>; left: number }[] = []
      for (const one of steps) {
        if ('enter' in one) under.push({ entry: load.enter(one.enter), left: one.enter })
        else if ('done' in one) {
          const request = under[one.of % under.length]
          if (request !== undefined) {
            request.entry.done(one.done)
            request.left = Math.max(0, request.left - one.done)
          }
        } else under.splice(one.leave % (under.length || 1), 1)[0]?.entry.leave(undefined, undefined)
        expect(load.tokensInFlight).toBe(under.reduce((sum, { left }) => sum + left, 0))
      }
    }),
  )
})

test('the gauge falls with each token, does not count what waits, and is none once all is over', async () => {
  const { service, call, gone, inFlight, queued } = await startService(createScriptedEngine({ slots: 2, tokens: 1000 }))
  const generate = (tokens: number[], maxTokens: number) => service.generate(generateRequest({ tokens, maxTokens }), call)[Symbol.asyncIterator]()
  expect(await inFlight()).toBe(0)
  const first = generate([1, 2, 3], 50)
  await first.next()
  const left = await inFlight()
  // Its prompt is evaluated and at least one token drawn.
  expect(left).toBeGreaterThan(0)
  expect(left).toBeLessThan(50)
  await first.next()
  expect(await inFlight()).toBeLessThan(left)
  const second = generate([9], 400)
  await second.next()
  const both = await inFlight()
  expect(both).toBeGreaterThan(300)
  const waits = generate([5], 1000).next()
  await vi.waitUntil(async () => (await queued()) === 1)
  expect(await inFlight()).toBeLessThanOrEqual(both)
  gone.abort()
  await Promise.allSettled([first.next(), second.next(), waits])
  expect(await inFlight()).toBe(0)
})

test('of embeddings it counts the inputs that are not done, also where one fails', async () => {
  const { service, call, inFlight } = await startService(createScriptedEmbeddingEngine({ slots: 1, delayMs: 20, failAt: 7 }))
  const embed = (...inputs: number[][]) => service.embed({ model: 'scripted', team: 'default', weight: 0, batch: false, inputs: inputs.map((tokens) => ({ tokens })) }, call)
  const ended = Promise.allSettled([embed([1, 2, 3], [4, 5]), embed([6], [7], [8])])
  const seen = new Set<number>()
  await vi.waitUntil(async () => seen.add(await inFlight()).has(2), { interval: 2 })
  // None, all, or all but the first input; the second request waits meanwhile.
  expect([...seen].every((count) => [0, 2, 5].includes(count))).toBe(true)
  expect((await ended).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(await inFlight()).toBe(0)
})
