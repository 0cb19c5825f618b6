import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import type { WorkerState } from '../../proto/gen/intramuros/v1/inference.ts'
import { generateRequest } from '../../test/support/generate-request.ts'
import { type ScriptedUpstream, startScriptedUpstream, upstreamVocabulary } from '../../test/support/scripted-upstream.ts'
import { connectEngine } from './engines/openai/openai.ts'
import { createMetrics } from './metrics.ts'
import { createInferenceService, type InferenceService } from './service.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
const call = { requestId: 'r', peer: 'gateway', signal: new AbortController().signal }

async function started(upstream: ScriptedUpstream): Promise<InferenceService> {
  const options = { model: 'm', address: { host: '127.0.0.1', port: upstream.port }, kind: 'auto', nameThere: '', apiKey: undefined, slots: 2, contextLength: 0, startMs: 5000, firstTokenMs: 5000, nextTokenMs: 5000, monitorMs: 20 } as const
  const log = pino({ level: 'silent' })
  const onHang = vi.fn<() => void>()
  const service = createInferenceService({
    engine: await connectEngine(options, upstreamVocabulary, log),
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 },
    log,
    metrics: createMetrics(new Registry()),
    onHang,
  })
  closing.push(async () => {
    expect(onHang).not.toHaveBeenCalled()
    await service.close()
  })
  await vi.waitUntil(() => service.ready(), 5000)
  return service
}

async function textOf(service: InferenceService): Promise<string> {
  let text = ''
  for await (const { event } of service.generate(generateRequest({ model: 'm' }), call)) if (event?.$case === 'delta') text += event.value.text
  return text
}

test('a worker is ready as long as its server is there, and again when that is back', async () => {
  const upstream = await startScriptedUpstream({ kind: 'vllm' })
  const service = await started(upstream)
  expect(await textOf(service)).toBe('hello')
  const states: WorkerState[] = []
  const watching = (async () => {
    for await (const state of service.watch({}, call)) states.push(state)
  })()
  await vi.waitUntil(() => states.length > 0, 5000)
  await upstream.close()
  await vi.waitUntil(() => !service.ready(), 5000)
  // A gateway learns of it by the end of its watch.
  await watching
  await expect(textOf(service)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
  const back = await startScriptedUpstream({ kind: 'vllm' }, upstream.port)
  closing.unshift(() => back.close())
  await vi.waitUntil(() => service.ready(), 5000)
  expect(await textOf(service)).toBe('hello')
})

test('a server that answers questions and decodes nothing makes no worker ready', async () => {
  const upstream = await startScriptedUpstream({ kind: 'llama-server' })
  closing.push(() => upstream.close())
  const service = await started(upstream)
  upstream.script = { kind: 'llama-server', status: 500 }
  await expect(textOf(service)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
  await vi.waitUntil(() => !service.ready(), 5000)
  upstream.script = { kind: 'llama-server' }
  await vi.waitUntil(() => service.ready(), 5000)
})

test('requests wait for a slot here, and no more are sent there', async () => {
  const upstream = await startScriptedUpstream({ kind: 'sglang' })
  closing.push(() => upstream.close())
  const service = await started(upstream)
  upstream.script = { kind: 'sglang', after: { tokens: 2, comes: 'hang' } }
  const gone = new AbortController()
  const all = Array.from({ length: 5 }, async () => {
    for await (const event of service.generate(generateRequest({ model: 'm' }), { ...call, signal: gone.signal })) void event
  })
  const settled = Promise.allSettled(all)
  await vi.waitUntil(() => upstream.open === 2, 5000)
  for await (const state of service.watch({}, call)) {
    expect(state).toMatchObject({ slots: 2, running: 2, queued: 3 })
    break
  }
  gone.abort()
  expect((await settled).map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'rejected'))
  await vi.waitUntil(() => upstream.open === 0, 5000)
})

test('each team comes back to the slot of llama-server that holds its prompt', async () => {
  const upstream = await startScriptedUpstream({ kind: 'llama-server' })
  closing.push(() => upstream.close())
  const service = await started(upstream)
  const tokens = Array.from({ length: 100 }, (_, index) => 256 + index)
  for (const team of ['a', 'b', 'a', 'b', 'b', 'a']) {
    for await (const event of service.generate(generateRequest({ model: 'm', team, tokens }), call)) void event
  }
  const sent = upstream.requests.filter(({ prompt }) => (prompt as number[]).length === 100).map(({ id_slot: slot, cache_prompt: reuse }) => ({ slot, reuse }))
  const [first, other] = sent.map(({ slot }) => slot)
  expect(new Set([first, other]).size).toBe(2)
  const expected = [first, other, first, other, other, first].map((slot, index) => ({ slot, reuse: index > 1 }))
  expect(sent).toEqual(expected)
})
