import { pino } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { FinishReason, type GenerateEvent, InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import { generateRequest } from '../../test/support/generate-request.ts'
import { createWorkers, type Workers } from './workers.ts'

const finish: GenerateEvent = {
  event: { $case: 'finish', value: { reason: FinishReason.STOP, inputTokens: 1, outputTokens: 1, queueUs: 0n, prefillUs: 0n, decodeUs: 0n, reasoningTokens: 0, cachedTokens: 0 } },
}
let workers: Workers | undefined
afterEach(() => workers?.close())

/** Four workers of one model, as busy as told. Their lanes are scripted: what is at stake is the choice. */
async function fourWorkers(running: readonly number[] = [0, 0, 0, 0]): Promise<Workers> {
  const created = createWorkers({
    addresses: running.map((_, index) => `worker-${index}`),
    log: pino({ enabled: false }),
    connect(address, onStateChange) {
      const busy = running[Number(address.slice(-1))] ?? 0
      const stream = async function* (method: unknown, _request: unknown, { signal }: { signal: AbortSignal }) {
        if (method === InferenceService.generate) {
          yield finish
          return
        }
        yield { model: 'm', contextLength: 1000 + busy, slots: 4, running: busy, queued: 0 }
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      }
      queueMicrotask(() => onStateChange(true))
      return { address, up: true, stream, close: () => undefined } as unknown as LaneClient
    },
  })
  workers = created
  await vi.waitUntil(() => created.serves('m'))
  return created
}

async function chosen(from: Workers, team: string, cacheKey: string): Promise<string> {
  let worker = ''
  const request = generateRequest({ model: 'm', team })
  for await (const _ of from.generate(request, { requestId: 'r', signal: new AbortController().signal, cacheKey }, (address) => (worker = address))) continue
  return worker
}

test('requests of a team with the same hint meet on the same worker; another team with that hint means another thing', async () => {
  const all = await fourWorkers()
  const keys = Array.from({ length: 32 }, (_, index) => `key-${index}`)
  const first = await Promise.all(keys.map((key) => chosen(all, 'a', key)))
  expect(await Promise.all(keys.map((key) => chosen(all, 'a', key)))).toEqual(first)
  expect(new Set(first).size).toBeGreaterThan(1)
  expect(await Promise.all(keys.map((key) => chosen(all, 'b', key)))).not.toEqual(first)
})

test('a hint never outweighs how busy a worker is', async () => {
  const all = await fourWorkers([3, 3, 1, 3])
  for (let key = 0; key < 16; key++) expect(await chosen(all, 'a', String(key))).toBe('worker-2')
})

test('a request that two workers died of is not tried on a third', async () => {
  const asked: string[] = []
  const created = createWorkers({
    addresses: ['worker-0', 'worker-1', 'worker-2', 'worker-3'],
    log: pino({ enabled: false }),
    connect(address, onStateChange) {
      const stream = async function* (method: unknown, _request: unknown, { signal }: { signal: AbortSignal }) {
        if (method === InferenceService.generate) {
          asked.push(address)
          throw new ServiceError('UNAVAILABLE', 'peer_lost', 'The worker is gone.')
        }
        yield { model: 'm', contextLength: 1, slots: 4, running: 0, queued: 0 }
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      }
      queueMicrotask(() => onStateChange(true))
      return { address, up: true, stream, close: () => undefined } as unknown as LaneClient
    },
  })
  workers = created
  await vi.waitUntil(() => created.serves('m'))
  await expect(chosen(created, 'a', '')).rejects.toMatchObject({ reason: 'peer_lost' })
  expect(asked).toHaveLength(2)
})

test('a model has the context of the worker that has the least', async () => {
  const all = await fourWorkers([3, 2, 1, 3])
  await vi.waitUntil(() => all.contextLength('m') === 1001, 5000)
  expect(all.contextLength('other')).toBeUndefined()
})

test('a worker that is no longer one gets no new requests, and its lane is closed when it has ended those under way', async () => {
  const closed: string[] = []
  let end: (() => void) | undefined
  const created = createWorkers({
    addresses: ['old'],
    log: pino({ enabled: false }),
    connect(address, onStateChange) {
      const stream = async function* (method: unknown, _request: unknown, { signal }: { signal: AbortSignal }) {
        if (method === InferenceService.generate) {
          if (address === 'old') await new Promise<void>((resolve) => (end = resolve))
          yield finish
          return
        }
        yield { model: 'm', contextLength: 1, slots: 4, running: 0, queued: 0 }
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      }
      queueMicrotask(() => onStateChange(true))
      return { address, up: true, stream, close: () => closed.push(address) } as unknown as LaneClient
    },
  })
  workers = created
  await vi.waitUntil(() => created.serves('m'))
  const underWay = chosen(created, 'a', '')
  await vi.waitUntil(() => end !== undefined)
  created.set(['new'])
  expect(created.serves('m')).toBe(false)
  await vi.waitUntil(() => created.serves('m'))
  expect(await chosen(created, 'a', '')).toBe('new')
  expect(closed).toEqual([])
  end?.()
  expect(await underWay).toBe('old')
  expect(closed).toEqual(['old'])
})
