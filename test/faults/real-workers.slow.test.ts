import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { FromService } from '../../services/shared/supervision.ts'
import { chatBody, events, open, send, type StreamEvent } from '../support/client.ts'
import { type Platform, type PlatformOptions, type Role, startPlatform } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'
import { endless } from './support/model-files.ts'

let platform: Platform
afterEach(() => platform.stop())

async function start({ env = {}, ...options }: PlatformOptions): Promise<void> {
  const settings = { INTRAMUROS_INFERENCE_WORKER_THREADS: '1', INTRAMUROS_INFERENCE_WORKER_GPU: 'off', INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '1024' }
  platform = await startPlatform({ ...options, realModel: true, env: { ...settings, ...env } })
  for (const [index] of (options.workers ?? [{}]).entries()) await platform.ready(`worker-${index}`)
}

/** A stream whose first event has come. */
async function stream(body: object): Promise<{ requestId: unknown; rest: AsyncGenerator<StreamEvent, void, undefined> }> {
  const { response } = await open(platform, chatBody(platform, body))
  expect(response.statusCode).toBe(200)
  const rest = events(response)
  await rest.next()
  return { requestId: response.headers['x-request-id'], rest }
}

async function all(rest: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const found: StreamEvent[] = []
  for await (const event of rest) found.push(event)
  return found
}

function ended(role: Role): Promise<[number | null, NodeJS.Signals | null]> {
  return once(platform.process(role), 'exit') as Promise<[number | null, NodeJS.Signals | null]>
}

async function endOf(requestId: unknown): Promise<Record<string, unknown> | undefined> {
  return (await auditRecords(platform.home)).find((record) => record['type'] === 'request.end' && record['requestId'] === requestId)
}

test('one of two workers of a model crashes: its streams end with an error and a record, those of the other go on', async () => {
  await start({ workers: [{}, {}] })
  // The least busy worker is taken, so the two have one each.
  const body = { ...endless, max_tokens: 120 }
  const both = [await stream(body), await stream(body)]
  platform.process('worker-0').kill('SIGSEGV')
  const results = await Promise.all(both.map(async ({ requestId, rest }) => ({ requestId, last: (await all(rest)).at(-1) })))
  const failed = results.filter(({ last }) => last?.error?.code === 'peer_lost')
  const whole = results.filter(({ last }) => last?.done === true)
  expect([failed.length, whole.length]).toEqual([1, 1])
  expect(await endOf(failed[0]?.requestId)).toMatchObject({ outcome: 'failed', error: 'peer_lost' })
  expect(await endOf(whole[0]?.requestId)).toMatchObject({ outcome: 'completed', outputTokens: 120 })
  // Nobody who comes now sees anything of it.
  const next = await Promise.all([1, 2, 3].map(() => send(platform, chatBody(platform, { max_tokens: 4 }))))
  expect(next.map(({ status }) => status)).toEqual([200, 200, 200])
})

test('SIGTERM: a worker takes nothing new, ends what it has, and others take over', async () => {
  await start({ workers: [{}, {}] })
  const body = { ...endless, max_tokens: 120 }
  const both = [await stream(body), await stream(body)]
  const exit = ended('worker-0')
  platform.process('worker-0').kill('SIGTERM')
  const next = await Promise.all([1, 2, 3].map(() => send(platform, chatBody(platform, { max_tokens: 4 }))))
  expect(next.map(({ status }) => status)).toEqual([200, 200, 200])
  const lasts = await Promise.all(both.map(async ({ rest }) => (await all(rest)).at(-1)))
  expect(lasts).toEqual([{ done: true }, { done: true }])
  expect(await exit).toEqual([0, null])
})

test('SIGTERM: new work is refused at once with when to try again, and what outlasts the limit is ended with a reason', async () => {
  await start({ env: { INTRAMUROS_DRAIN_SECONDS: '2' } })
  const { requestId, rest } = await stream(endless)
  const exit = ended('worker-0')
  const began = performance.now()
  platform.process('worker-0').kill('SIGTERM')
  // The signal reaches it in its own time; a request that finds it gone is refused within a round trip.
  await expect.poll(async () => (await send(platform, chatBody(platform, { max_tokens: 1 }))).status, { timeout: 1500 }).toBe(503)
  const asked = performance.now()
  const refused = await send(platform, chatBody(platform, { max_tokens: 1 }))
  expect(performance.now() - asked).toBeLessThan(500)
  expect(refused.status).toBe(503)
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)

  const last = (await all(rest)).at(-1)
  const tookMs = performance.now() - began
  expect(last?.error).toMatchObject({ code: 'draining', message: expect.stringMatching(/Try again\.$/) as unknown })
  expect(tookMs).toBeGreaterThan(1900)
  expect(tookMs).toBeLessThan(6000)
  expect(await endOf(requestId)).toMatchObject({ outcome: 'failed', error: 'draining' })
  expect(await exit).toEqual([0, null])
})

test('a decode call that does not return is noticed, told, and ends the process', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'intramuros-stall-'))
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  try {
    const hook = join(import.meta.dirname, 'support/stall-thread-pool.ts')
    await start({
      env: { NODE_OPTIONS: `--import ${hook}`, UV_THREADPOOL_SIZE: '1', TEST_STALL_PIPE: pipe, INTRAMUROS_INFERENCE_WORKER_STEP_TIMEOUT_SECONDS: '2' },
    })
    const told: string[] = []
    platform.process('worker-0').on('message', (message: FromService) => message.type === 'atRisk' && told.push(message.what))
    const { requestId, rest } = await stream(endless)
    const exit = ended('worker-0')
    const began = performance.now()
    platform.process('worker-0').kill('SIGUSR2')
    expect((await all(rest)).at(-1)?.error?.code).toBe('peer_lost')
    expect(await exit).toEqual([null, 'SIGKILL'])
    const tookMs = performance.now() - began
    expect(tookMs).toBeGreaterThan(1900)
    expect(tookMs).toBeLessThan(8000)
    expect(told).toEqual(['A decode step did not end within 2 s, so the worker killed itself to be started again.'])
    expect(platform.output()).toContain('"msg":"the engine hangs"')
    expect(await endOf(requestId)).toMatchObject({ outcome: 'failed', error: 'peer_lost' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
