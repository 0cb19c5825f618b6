import { pino } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { FinishReason, type GenerateEvent, InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
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
        yield { model: 'm', contextLength: 1, slots: 4, running: busy, queued: 0 }
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
