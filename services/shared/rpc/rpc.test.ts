import { once } from 'node:events'
import fc from 'fast-check'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { InferenceClient, InferenceService, type GenerateEvent, type GenerateRequest, type WorkerState } from '../../../proto/gen/intramuros/v1/inference.ts'
import { type PrepareRequest, type PrepareResponse, TokenizerClient, TokenizerService } from '../../../proto/gen/intramuros/v1/tokenizer.ts'
import { createIdentities, type Identities, silent } from '../../../test/support/identities.ts'
import { ServiceError } from '../errors.ts'
import { noTelemetry } from '../telemetry.ts'
import { channelCredentials, channelOptions } from '../tls/grpc-credentials.ts'
import type { CallContext } from './handler.ts'
import { connectLane, type LaneClient } from './lane-client.ts'
import type { HandlersOf } from './methods.ts'
import { createCallObserver } from './observe.ts'
import { type RpcServer, serveRpc } from './serve.ts'

let identities: Identities
const closing: (() => Promise<void> | void)[] = []

beforeAll(async () => {
  identities = await createIdentities()
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => identities.close())

const unused = (): Promise<never> => Promise.reject(new Error('not used here'))

const observer = () => createCallObserver('server', new Registry(), noTelemetry)

async function serveTokenizer(prepare: HandlersOf<typeof TokenizerService>['prepare'], port = 0): Promise<RpcServer> {
  const server = await serveRpc({
    service: TokenizerService,
    handlers: { prepare, tokenize: unused, preparePairs: unused, detokenize: unused, describe: unused },
    identity: await identities.of('tokenizer'),
    listen: `127.0.0.1:${port}`,
    callers: ['gateway'],
    observer: observer(),
    log: silent,
  })
  closing.push(() => server.close(0))
  return server
}

async function serveInference(handlers: Partial<HandlersOf<typeof InferenceService>>): Promise<RpcServer> {
  const none = async function* <T>(): AsyncGenerator<T> {}
  const server = await serveRpc({
    service: InferenceService,
    handlers: { generate: none<GenerateEvent>, watch: none<WorkerState>, embed: unused, rank: unused, ...handlers },
    identity: await identities.of('inference-worker'),
    listen: '127.0.0.1:0',
    callers: ['gateway'],
    observer: observer(),
    log: silent,
  })
  closing.push(() => server.close(0))
  return server
}

async function lane(service: typeof TokenizerService | typeof InferenceService, port: number, caller = 'gateway'): Promise<LaneClient & { changes: EventTarget }> {
  const changes = new EventTarget()
  const client = connectLane({
    service,
    peer: service === TokenizerService ? 'tokenizer' : 'inference-worker',
    address: `127.0.0.1:${port}`,
    identity: await identities.of(caller),
    observer: observer(),
    log: silent,
    onStateChange: (up) => void changes.dispatchEvent(new Event(up ? 'up' : 'down')),
  })
  closing.push(() => client.close())
  return Object.assign(Object.create(client) as LaneClient, { changes })
}

async function upLane(service: typeof TokenizerService | typeof InferenceService, port: number): Promise<LaneClient & { changes: EventTarget }> {
  const client = await lane(service, port)
  if (!client.up) await once(client.changes, 'up')
  return client
}

const request: PrepareRequest = { model: 'm', prompt: { $case: 'text', value: { text: 'hello' } }, maxTokens: 5, format: undefined, wantText: false, anyLength: false }
const generate: GenerateRequest = {
  model: 'm',
  team: 't',
  tokens: [1],
  maxTokens: 1,
  sampling: undefined,
  stop: [],
  stopUntil: [],
  weight: 1,
  batch: false,
  constraint: undefined,
  visibleTokens: [],
  reasoningBudget: undefined,
}
const options = (extra: object = {}) => ({ requestId: 'r-1', signal: new AbortController().signal, ...extra })

/** What a tokenizer answers. */
function prepared(tokens: number[], maxTokens = 0): PrepareResponse {
  return { tokens, maxTokens, dialect: '', visibleTokens: [], grammar: '', grammarAfter: [], reasoningOpen: false, reasoningBegin: '', reasoningEnd: '', reasoningEndTokens: [], text: '' }
}

function delta(text: string): GenerateEvent {
  return { event: { $case: 'delta', value: { text, tokens: [], logprobs: [] } } }
}

describe('a call over a lane', () => {
  test('reaches the handler with its request, id and caller, and brings the response back', async () => {
    const seen: [PrepareRequest, string, string][] = []
    const server = await serveTokenizer(async (message, call) => {
      seen.push([message, call.requestId, call.peer])
      return prepared([7, 8], 3)
    })
    const client = await upLane(TokenizerService, server.port)
    expect(await client.unary(TokenizerService.prepare, request, options())).toEqual(prepared([7, 8], 3))
    expect(seen).toEqual([[request, 'r-1', 'gateway']])
  })

  test('gives each of a thousand concurrent calls its own answer', async () => {
    const server = await serveTokenizer(async (message) => {
      if (message.maxTokens % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
      return prepared([message.maxTokens])
    })
    const client = await upLane(TokenizerService, server.port)
    const numbers = Array.from({ length: 1000 }, (_, index) => index + 1)
    const answers = await Promise.all(numbers.map((maxTokens) => client.unary(TokenizerService.prepare, { ...request, maxTokens }, options())))
    expect(answers.map((answer) => answer.tokens[0])).toEqual(numbers)
  })

  test('carries messages larger than one frame', async () => {
    const server = await serveTokenizer(async (message) => prepared([message.prompt?.$case === 'text' ? message.prompt.value.text.length : 0]))
    const client = await upLane(TokenizerService, server.port)
    const content = 'x'.repeat(5_000_000)
    const answers = await Promise.all([1, 2, 3].map(() => client.unary(TokenizerService.prepare, { ...request, prompt: { $case: 'text', value: { text: content } } }, options())))
    expect(answers.map((answer) => answer.tokens[0])).toEqual([5_000_000, 5_000_000, 5_000_000])
  })

  test('streams in order to the end', async () => {
    const server = await serveInference({
      async *generate() {
        for (let i = 0; i < 500; i += 1) yield delta(String(i))
      },
    })
    const client = await upLane(InferenceService, server.port)
    const texts: string[] = []
    for await (const { event } of client.stream(InferenceService.generate, generate, options())) {
      if (event?.$case === 'delta') texts.push(event.value.text)
    }
    expect(texts).toEqual(Array.from({ length: 500 }, (_, index) => String(index)))
  })
})

describe('a slow reader', () => {
  test('holds back its own stream only', async () => {
    let produced = 0
    const server = await serveInference({
      async *generate(message) {
        const count = message.maxTokens
        for (let i = 0; i < count; i += 1) {
          if (count > 1000) produced += 1
          yield delta('x')
        }
      },
    })
    const client = await upLane(InferenceService, server.port)
    const slow = client.stream(InferenceService.generate, { ...generate, maxTokens: 100_000 }, options())
    await slow.next()
    let quick = 0
    for await (const _ of client.stream(InferenceService.generate, { ...generate, maxTokens: 1000 }, options())) quick += 1
    expect(quick).toBe(1000)
    expect(produced).toBeLessThan(200)
    await slow.return()
  })
})

describe('cancelling', () => {
  test('a stream that is no longer read aborts its handler', async () => {
    const ended = Promise.withResolvers<boolean>()
    const server = await serveInference({
      async *generate(_, call: CallContext) {
        try {
          for (;;) {
            yield delta('x')
            await new Promise((resolve) => setImmediate(resolve))
          }
        } finally {
          ended.resolve(call.signal.aborted)
        }
      },
    })
    const client = await upLane(InferenceService, server.port)
    for await (const _ of client.stream(InferenceService.generate, generate, options())) break
    expect(await ended.promise).toBe(true)
  })

  test('an aborted signal fails the call and aborts the handler while it works', async () => {
    const aborted = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const server = await serveTokenizer((_, call) => {
      begun.resolve()
      return new Promise((_resolve, reject) =>
        call.signal.addEventListener('abort', () => {
          aborted.resolve()
          reject(new Error('stopped'))
        }),
      )
    })
    const client = await upLane(TokenizerService, server.port)
    const abort = new AbortController()
    const answer = client.unary(TokenizerService.prepare, request, options({ signal: abort.signal }))
    await begun.promise
    abort.abort()
    await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' })
    await aborted.promise
  })

  // What is left of a longer limit is no whole number.
  test.each([50, 49.5])('a deadline ends the call on both sides (%d ms)', async (timeoutMs) => {
    const aborted = Promise.withResolvers<unknown>()
    const server = await serveTokenizer((_, call) => new Promise(() => call.signal.addEventListener('abort', () => aborted.resolve(call.signal.reason))))
    const client = await upLane(TokenizerService, server.port)
    await expect(client.unary(TokenizerService.prepare, request, options({ timeoutMs }))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await aborted.promise
  })
})

test('every call settles once and rightly, whatever mix of calls fails, is cut off, or is read slowly', async () => {
  const server = await serveInference({
    async *generate(message) {
      // The request tells what happens: after `maxTokens` deltas, an error when the team is "fails".
      for (let i = 0; i < message.maxTokens; i += 1) {
        if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
        yield delta(`${message.tokens[0]}:${i}`)
      }
      if (message.team === 'fails') throw new ServiceError('RESOURCE_EXHAUSTED', 'scripted', 'As told.')
    },
  })
  const client = await upLane(InferenceService, server.port)
  const plan = fc.record({ length: fc.nat(200), fails: fc.boolean(), readAtMost: fc.option(fc.nat(100)), slow: fc.boolean(), abortAfter: fc.option(fc.nat(50)) })
  await fc.assert(
    fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 40 }), async (plans) => {
      await Promise.all(
        plans.map(async ({ length, fails, readAtMost, slow, abortAfter }, id) => {
          const abort = new AbortController()
          const stream = client.stream(InferenceService.generate, { ...generate, tokens: [id], team: fails ? 'fails' : 't', maxTokens: length }, options({ signal: abort.signal }))
          let read = 0
          let ended = 'whole'
          try {
            for await (const { event } of stream) {
              expect(event?.$case === 'delta' && event.value.text).toBe(`${id}:${read}`)
              read += 1
              if (slow) await new Promise((resolve) => setImmediate(resolve))
              if (read === abortAfter) abort.abort()
              if (read === readAtMost) {
                ended = 'left'
                break
              }
            }
          } catch (thrown) {
            ended = (thrown as ServiceError).code
          }
          if (ended === 'whole') expect([read, fails]).toEqual([length, false])
          else if (ended === 'RESOURCE_EXHAUSTED') expect([read, fails]).toEqual([length, true])
          else if (ended === 'CANCELLED') expect(abort.signal.aborted).toBe(true)
          else expect([ended, read]).toEqual(['left', readAtMost])
        }),
      )
    }),
    { numRuns: 25 },
  )
})

describe('failures', () => {
  const refused = new ServiceError('INVALID_ARGUMENT', 'context_length_exceeded', 'Too long by 3.', { param: 'messages', retryAfterMs: 1500 })

  test('a ServiceError arrives whole', async () => {
    const server = await serveTokenizer(() => Promise.reject(refused))
    const client = await upLane(TokenizerService, server.port)
    await expect(client.unary(TokenizerService.prepare, request, options())).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'context_length_exceeded',
      message: 'Too long by 3.',
      param: 'messages',
      retryAfterMs: 1500,
    })
  })

  test('any other error arrives bland', async () => {
    const server = await serveTokenizer(() => Promise.reject(new Error('the secret prompt')))
    const client = await upLane(TokenizerService, server.port)
    const failure = await client.unary(TokenizerService.prepare, request, options()).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ code: 'INTERNAL' })
    expect(String(failure)).not.toContain('secret')
  })

  test('a lost server fails the open calls and the lane comes back by itself', async () => {
    const begun = Promise.withResolvers<void>()
    const first = await serveTokenizer(() => {
      begun.resolve()
      return new Promise(() => undefined)
    })
    const client = await upLane(TokenizerService, first.port)
    const pending = client.unary(TokenizerService.prepare, request, options())
    const failure = pending.catch((thrown: unknown) => thrown)
    await begun.promise
    const down = once(client.changes, 'down')
    await first.close(0)
    expect(await failure).toMatchObject({ code: 'UNAVAILABLE' })
    await down
    await expect(client.unary(TokenizerService.prepare, request, options())).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    const up = once(client.changes, 'up')
    await serveTokenizer(async () => prepared([1], 1), first.port)
    await up
    expect(await client.unary(TokenizerService.prepare, request, options())).toEqual(prepared([1], 1))
  })

  test('another service is refused, over a lane and over an ordinary method', async () => {
    const server = await serveTokenizer(async () => prepared([], 0))
    const client = await lane(TokenizerService, server.port, 'audit')
    await expect(client.unary(TokenizerService.prepare, request, options())).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(plainPrepare(server.port, 'audit')).rejects.toMatchObject({ code: 7 })
    expect(client.up).toBe(false)
  })
})

describe('ordinary methods', () => {
  test('run the same handlers', async () => {
    const server = await serveTokenizer(async (message) => prepared([message.maxTokens], 1))
    expect(await plainPrepare(server.port, 'gateway')).toEqual(prepared([5], 1))
  })

  test('carry an error with its details', async () => {
    const server = await serveTokenizer(() => Promise.reject(new ServiceError('RESOURCE_EXHAUSTED', 'queue_full', 'Full.', { retryAfterMs: 2000 })))
    const failure = (await plainPrepare(server.port, 'gateway').catch((thrown: unknown) => thrown)) as { code: number; metadata: { get(key: string): unknown[] } }
    expect(failure.code).toBe(8)
    expect(failure.metadata.get('intramuros-reason')).toEqual(['queue_full'])
    expect(failure.metadata.get('intramuros-retry-after-ms')).toEqual(['2000'])
  })

  test('stream, and stop when the caller cancels', async () => {
    const ended = Promise.withResolvers<void>()
    const server = await serveInference({
      async *generate() {
        try {
          for (;;) {
            yield delta('x')
            await new Promise((resolve) => setImmediate(resolve))
          }
        } finally {
          ended.resolve()
        }
      },
    })
    const client = new InferenceClient(`127.0.0.1:${server.port}`, channelCredentials(await identities.of('gateway')), channelOptions('inference-worker'))
    closing.push(() => client.close())
    const call = client.generate(generate)
    call.on('error', () => undefined)
    await once(call, 'data')
    call.cancel()
    await ended.promise
  })
})

async function plainPrepare(port: number, caller: string): Promise<unknown> {
  const client = new TokenizerClient(`127.0.0.1:${port}`, channelCredentials(await identities.of(caller)), channelOptions('tokenizer'))
  closing.push(() => client.close())
  return new Promise((resolve, reject) => client.prepare(request, (error, response) => (error === null ? resolve(response) : reject(error))))
}
