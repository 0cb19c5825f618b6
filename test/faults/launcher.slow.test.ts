import { readdir } from 'node:fs/promises'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { chatBody, events, open, send, type StreamEvent } from '../support/client.ts'
import { until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'
import { type Launched, launch } from './support/launched.ts'
import { createModelFiles, endless } from './support/model-files.ts'

const files = createModelFiles()
afterAll(() => files.remove())

let platform: Launched | undefined
afterEach(() => platform?.remove())

async function launched(modelPath: string, env: Record<string, string> = {}): Promise<Launched> {
  platform = await launch(modelPath, { INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '1024', ...env })
  return platform
}

/** What the launcher's log says of it, by message. */
function logged({ log }: Launched, message: string): Record<string, unknown>[] {
  return log()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message)
}

describe('a start with a file that', () => {
  test('is cut short ends with its status and one reason, without a second try', async () => {
    const path = files.cut(Math.floor(files.size / 2))
    const start = await launched(path)
    expect(await start.ended).toBe(65)
    expect(logged(start, 'a service died')).toEqual([])
    const reason = start.log().split('\n').find((line) => line !== '' && !line.startsWith('{'))
    expect(reason).toMatch(/^(inference-worker|tokenizer) could not start\. /)
    expect(reason).toContain(path)
    expect(reason).toContain('status 65')
  })

  test.each<[string, () => string]>([
    ['it is loaded', () => files.aborting()],
    ['it is tried out', () => files.abortingLate()],
  ])('llama.cpp aborts on while %s is given up after the second time, with what it was doing', async (_, make) => {
    const path = make()
    const start = await launched(path)
    expect(await start.ended).toBe(1)
    expect(logged(start, 'a service died').filter(({ child }) => child === 'inference-worker').length).toBeLessThanOrEqual(1)
    const reason = start.log().split('\n').find((line) => line !== '' && !line.startsWith('{'))
    expect(reason).toContain('could not start. It died while')
    expect(reason).toContain(path)
    expect(reason).toContain('signal SIGABRT, native code crashed')
  })
})

test('a worker that crashes in the middle of streams fails those, leaves no core file, and serves again in seconds', async () => {
  const running = await launched(files.whole)
  const target = await running.ready()
  const streams = await Promise.all([1, 2, 3].map(() => open(target, chatBody(target, endless))))
  const read = streams.map(({ response }) => events(response))
  await Promise.all(read.map((stream) => stream.next()))

  const crashed = running.pid('inference-worker')
  const began = performance.now()
  process.kill(crashed, 'SIGABRT')
  for (const stream of read) {
    let last: StreamEvent | undefined
    for await (const event of stream) last = event
    expect(last?.error).toMatchObject({ code: 'peer_lost', type: 'server_error', message: expect.stringMatching(/Try again\.$/) as unknown })
  }
  const refused = await send(target, chatBody(target, { max_tokens: 4 }))
  expect(refused.status).toBe(503)
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  await until(async () => (await send(target, chatBody(target, { max_tokens: 4 }))).status === 200, 'the worker to serve again')
  // Seconds, not tens of them: the restart, the model, the lane, with a machine that has other things to do.
  expect(performance.now() - began).toBeLessThan(15_000)

  expect(logged(running, 'a service died')).toMatchObject([{ child: 'inference-worker', how: 'signal SIGABRT, native code crashed', deaths: 1 }])
  const { text, status } = await running.status()
  expect(status).toBe(0)
  expect(text).toMatch(/inference-worker +ready .*\n +restarts: 1, the last after signal SIGABRT, native code crashed/)
  expect((await readdir(running.home)).filter((name) => name.startsWith('core'))).toEqual([])

  const ends = (await auditRecords(running.home)).filter(({ type }) => type === 'request.end')
  const failed = ends.filter(({ error }) => error === 'peer_lost')
  expect(new Set(failed.map(({ requestId }) => requestId))).toEqual(new Set(streams.map(({ response }) => response.headers['x-request-id'])))
  expect(failed).toHaveLength(streams.length)

  running.signal('SIGTERM')
  expect(await running.ended).toBe(0)
})
