import { setTimeout as after } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { connectLane, type LaneClient } from '../../services/shared/rpc/lane-client.ts'
import { createCallObserver } from '../../services/shared/rpc/observe.ts'
import { noTelemetry } from '../../services/shared/telemetry.ts'
import { type Identity, watchIdentity } from '../../services/shared/tls/identity.ts'
import { chatBody, open } from '../support/client.ts'
import { generateRequest } from '../support/generate-request.ts'
import { silent } from '../support/identities.ts'
import { type Platform, type PlatformOptions, type Role, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'
import { type Cancelled, cancelMany } from './support/cancel-many.ts'
import { endless } from './support/model-files.ts'

/** For more by hand: 10000 with the real model take ten minutes. */
const realCount = Number(process.env['INTRAMUROS_TEST_CANCELS'] ?? 200)
const warmUp = 0.1
const hook = new URL('support/collect-garbage.ts', import.meta.url).pathname
const settings = {
  NODE_OPTIONS: `--expose-gc --import ${hook}`,
  INTRAMUROS_INFERENCE_WORKER_THREADS: '1',
  INTRAMUROS_INFERENCE_WORKER_GPU: 'off',
  INTRAMUROS_INFERENCE_WORKER_SLOTS: '4',
  INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '1024',
}

let platform: Platform
const closing: (() => void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) close()
  await platform.stop()
})

async function start(options: PlatformOptions): Promise<void> {
  platform = await startPlatform({ ...options, env: { ...settings, ...options.env } })
  await platform.ready('worker-0')
}

/** A lane to the worker beside the gateway's own. */
async function laneToWorker(): Promise<LaneClient> {
  const identity: Identity = await watchIdentity({ file: `${platform.home}/tls/gateway.pem`, caFile: `${platform.home}/tls/ca.crt`, log: silent })
  const up = Promise.withResolvers<void>()
  const lane = connectLane({
    service: InferenceService,
    peer: 'inference-worker',
    address: `127.0.0.1:${platform.ports('worker-0')['grpc']}`,
    identity,
    observer: createCallObserver('client', new Registry(), noTelemetry),
    log: silent,
    onStateChange: () => up.resolve(),
  })
  closing.push(() => {
    lane.close()
    identity.close()
  })
  await up.promise
  return lane
}

async function metrics(role: Role): Promise<string> {
  return (await fetch(`${platform.monitor(role)}/metrics`)).text()
}

/** Sum of a metric over all its labels. */
function total(text: string, name: string, labels = ''): number {
  const lines = text.split('\n').filter((line) => new RegExp(`^${name}(\\{|\\s)`).test(line) && line.includes(labels))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

async function idle(): Promise<string> {
  await until(async () => {
    const text = await metrics('worker-0')
    return total(text, 'intramuros_worker_busy_slots') === 0 && total(text, 'intramuros_worker_queued_requests') === 0
  }, 'all slots to be free')
  return metrics('worker-0')
}

interface Use {
  heap: number
  resident: number
  /** Resident without what V8 has set aside for its heap, used or not. */
  native: number
  requests: number
}

/** What the worker holds when nothing is under way and its garbage is collected. */
async function measure(): Promise<Use> {
  await idle()
  // Finalizers run after a collection, and free what the next one can take.
  for (let round = 0; round < 3; round += 1) {
    platform.process('worker-0').kill('SIGUSR2')
    await after(100)
  }
  const text = await metrics('worker-0')
  const resident = total(text, 'process_resident_memory_bytes')
  return {
    heap: total(text, 'nodejs_heap_size_used_bytes'),
    resident,
    native: resident - total(text, 'nodejs_heap_size_total_bytes'),
    requests: total(text, 'intramuros_worker_requests_total') - total(text, 'intramuros_worker_requests_total', 'outcome="refused"'),
  }
}

/** Cancels some to warm up, then the rest, and compares. */
async function cancelAndCompare(count: number, cancel: (lane: LaneClient, count: number) => Promise<Cancelled>): Promise<{ before: Use; after: Use; result: Cancelled }> {
  const lane = await laneToWorker()
  await cancel(lane, Math.ceil(count * warmUp))
  const before = await measure()
  const result = await cancel(lane, count)
  const use = { before, after: await measure(), result }
  const mib = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1)
  process.stdout.write(
    `${count} cancels: heap ${mib(use.before.heap)} → ${mib(use.after.heap)} MiB, resident ${mib(use.before.resident)} → ${mib(use.after.resident)} MiB, native ${mib(use.before.native)} → ${mib(use.after.native)} MiB, ` +
      `${result.finished} finished, ${result.cancelled} cancelled\n`,
  )
  expect([...result.other]).toEqual([])
  expect(result.finished + result.cancelled).toBe(count)
  expect(result.finished).toBeGreaterThan(0)
  expect(result.cancelled).toBeGreaterThan(count / 4)
  // Each one has been counted, none twice.
  expect(use.after.requests - use.before.requests).toBe(count)
  expect(platform.output()).not.toContain('MaxListenersExceededWarning')
  return use
}

/** Every slot still works, all at once. */
async function expectAllSlots(tokens: readonly number[]): Promise<void> {
  const lane = await laneToWorker()
  const finished = await cancelMany(lane, {
    count: 4,
    concurrent: 4,
    withinMs: 60_000,
    request: () => generateRequest({ model: platform.model, tokens: [...tokens], maxTokens: 4 }),
  })
  expect(finished.cancelled + finished.finished).toBe(4)
  await idle()
}

test('10,000 cancelled requests leave no slot taken, nothing in memory and no listener, and are all counted', { timeout: 120_000 }, async () => {
  await start({ workers: [{ tokens: 12, delayMs: 1, slots: 4 }] })
  const { before, after } = await cancelAndCompare(10_000, (lane, count) =>
    cancelMany(lane, { count, concurrent: 64, withinMs: 100, request: () => generateRequest({ model: platform.model, tokens: [1, 2, 3], maxTokens: 12 }) }),
  )
  // Less than 400 bytes for each: nothing that stays can be so small.
  expect(after.heap - before.heap).toBeLessThan(4 * 1024 * 1024)
  await expectAllSlots([1, 2, 3])
})

test(`${realCount} cancelled requests of a real model leave no slot taken and nothing in memory`, { timeout: 1_800_000 }, async () => {
  await start({ realModel: true })
  const prompt = Array.from({ length: 20 }, (_, index) => 100 + ((index * 7919) % 40_000))
  const { before, after } = await cancelAndCompare(realCount, (lane, count) =>
    cancelMany(lane, { count, concurrent: 24, withinMs: 400, request: () => generateRequest({ model: platform.model, tokens: prompt, maxTokens: 6 }) }),
  )
  expect(after.heap - before.heap).toBeLessThan(4 * 1024 * 1024)
  // A sampler or a cache that stays is of some hundred kilobytes. Less than this is what allocators keep for later.
  expect(after.native - before.native).toBeLessThan(64 * 1024 * 1024)
  await expectAllSlots(prompt)
})

test('cancelled by clients of the gateway: each has its record', { timeout: 60_000 }, async () => {
  await start({ realModel: true })
  const count = 120
  let left = count
  let answered = 0
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const gone = new AbortController()
      // Every eighth stays to the end.
      const timer = left % 8 === 0 ? undefined : setTimeout(() => gone.abort(), Math.random() * 800)
      try {
        const { response } = await open(platform, chatBody(platform, { ...endless, max_tokens: 8 }), { signal: gone.signal })
        for await (const _ of response);
        answered += 1
      } catch {
        // Gone, as was meant.
      }
      clearTimeout(timer)
    }
  }
  await Promise.all(Array.from({ length: 16 }, client))
  await idle()
  expect(answered).toBeLessThan(count)
  expect(answered).toBeGreaterThanOrEqual(count / 8)

  const records = async () => {
    const all = await auditRecords(platform.home)
    const ends = new Map(all.filter(({ type }) => type === 'request.end').map((end) => [end['requestId'], end['outcome']]))
    return { begun: all.filter(({ type }) => type === 'request.begin').map(({ requestId }) => requestId), ends }
  }
  await until(async () => {
    const { begun, ends } = await records()
    return begun.every((id) => ends.has(id))
  }, 'the end records')
  const { begun, ends } = await records()
  expect(ends.size).toBe(begun.length)
  expect(begun.length).toBeGreaterThan(count / 2)
  const outcomes = [...ends.values()]
  expect(new Set(outcomes)).toEqual(new Set(['completed', 'cancelled']))
  expect(outcomes.filter((outcome) => outcome === 'completed').length).toBeGreaterThanOrEqual(answered)
  // What the gateway counted is what is in the ledger.
  expect(total(await metrics('gateway'), 'intramuros_gateway_completions_total')).toBe(begun.length)
})
