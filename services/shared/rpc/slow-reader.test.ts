import { getEventListeners, once } from 'node:events'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type GenerateEvent, type GenerateRequest, InferenceClient, InferenceService } from '../../../proto/gen/intramuros/v1/inference.ts'
import { generateRequest } from '../../../test/support/generate-request.ts'
import { createIdentities, type Identities, silent } from '../../../test/support/identities.ts'
import { noTelemetry } from '../telemetry.ts'
import { channelCredentials, channelOptions } from '../tls/grpc-credentials.ts'
import { connectLane } from './lane-client.ts'
import { createCallObserver } from './observe.ts'
import { serveRpc } from './serve.ts'

const stalledReaderMs = 400
/** Of one message; many of them fill any window. */
const text = 'x'.repeat(4096)
const endless = 1_000_000

let identities: Identities
const closing: (() => Promise<void> | void)[] = []
beforeAll(async () => {
  identities = await createIdentities()
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => identities.close())

const observer = () => createCallObserver('server', new Registry(), noTelemetry)

/** A worker that yields as many messages as are asked for and notes how its streams end. */
async function serve(): Promise<{ port: number; produced: number; listeners: number; ends: { reason: unknown; afterMs: number }[] }> {
  const seen = { port: 0, produced: 0, listeners: 0, ends: [] as { reason: unknown; afterMs: number }[] }
  const server = await serveRpc({
    service: InferenceService,
    handlers: {
      async *generate({ maxTokens }, { signal }) {
        let last = performance.now()
        try {
          for (let left = maxTokens; left > 0 && !signal.aborted; left -= 1) {
            if (maxTokens === endless) seen.produced += 1
            last = performance.now()
            yield delta()
          }
        } finally {
          const reason: unknown = signal.reason
          seen.listeners = getEventListeners(signal, 'abort').length
          if (maxTokens === endless) seen.ends.push({ reason, afterMs: performance.now() - last })
        }
      },
      watch: async function* () {},
      embed: async () => ({ embeddings: [], workerUs: 0n }),
      rank: async () => ({ scores: [], workerUs: 0n }),
    },
    identity: await identities.of('inference-worker'),
    listen: '127.0.0.1:0',
    callers: ['gateway'],
    observer: observer(),
    log: silent,
    stalledReaderMs,
  })
  closing.push(() => server.close(0))
  seen.port = server.port
  return seen
}

function delta(): GenerateEvent {
  return { event: { $case: 'delta', value: { text, tokens: [], logprobs: [] } } }
}

function request(maxTokens: number): GenerateRequest {
  return generateRequest({ model: 'm', maxTokens })
}

const options = () => ({ requestId: 'r', signal: new AbortController().signal })

async function upLane(port: number) {
  const up = Promise.withResolvers<void>()
  const address = `127.0.0.1:${port}`
  const identity = await identities.of('gateway')
  const lane = connectLane({ service: InferenceService, peer: 'inference-worker', address, identity, observer: observer(), log: silent, onStateChange: () => up.resolve() })
  closing.push(() => lane.close())
  await up.promise
  return lane
}

async function plainClient(port: number): Promise<InferenceClient> {
  const client = new InferenceClient(`127.0.0.1:${port}`, channelCredentials(await identities.of('gateway')), channelOptions('inference-worker'))
  closing.push(() => client.close())
  return client
}

test('a lane call that nobody reads holds back nobody else, and is given up', async () => {
  const worker = await serve()
  const lane = await upLane(worker.port)
  const stalled = lane.stream(InferenceService.generate, request(endless), options())
  await stalled.next()
  let quick = 0
  for await (const _ of lane.stream(InferenceService.generate, request(500), options())) quick += 1
  expect(quick).toBe(500)
  expect(worker.produced).toBeLessThan(200)
  await expect.poll(() => worker.ends, { timeout: 5000 }).toMatchObject([{ reason: { reason: 'reader_stalled' } }])
  expect(worker.ends[0]?.afterMs).toBeGreaterThan(stalledReaderMs * 0.9)
  const rest = async (): Promise<void> => {
    for await (const _ of stalled);
  }
  await expect(rest()).rejects.toMatchObject({ code: 'CANCELLED', reason: 'reader_stalled' })
})

test('a lane call that is read slowly, but read, goes on', async () => {
  const worker = await serve()
  const lane = await upLane(worker.port)
  const slow = lane.stream(InferenceService.generate, request(300), options())
  let read = 0
  for await (const _ of slow) {
    read += 1
    // As long as the limit in all, several times over, but never so long without a message taken.
    if (read % 40 === 0) await new Promise((resolve) => setTimeout(resolve, stalledReaderMs * 0.4))
  }
  expect(read).toBe(300)
})

test('an ordinary call that nobody reads holds back nobody else, and is given up', async () => {
  const worker = await serve()
  const client = await plainClient(worker.port)
  const stalled = client.generate(request(endless))
  stalled.once('data', () => stalled.pause())
  const failed = once(stalled, 'error') as Promise<[{ code: number }]>
  await expect.poll(() => worker.produced).toBeGreaterThan(0)
  let quick = 0
  for await (const _ of client.generate(request(500))) quick += 1
  expect(quick).toBe(500)
  await expect.poll(() => worker.ends, { timeout: 5000 }).toMatchObject([{ reason: { reason: 'reader_stalled' } }])
  // What fits the windows on the way, and not more.
  expect(worker.produced * text.length).toBeLessThan(4 * 1024 * 1024)
  stalled.resume()
  expect((await failed)[0].code).toBe(1)
})

test('waiting for a reader leaves no listener behind', async () => {
  const worker = await serve()
  const client = await plainClient(worker.port)
  let read = 0
  for await (const _ of client.generate(request(2000))) {
    read += 1
    if (read % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(read).toBe(2000)
  expect(worker.listeners).toBeLessThan(3)
})
