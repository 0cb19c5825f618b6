import { afterEach, describe, expect, test } from 'vitest'
import { chatBody, events, open, send, type StreamEvent } from '../support/client.ts'
import { type Platform, type PlatformOptions, type Role, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

let platform: Platform
afterEach(() => platform.stop())

async function start(options: PlatformOptions): Promise<void> {
  platform = await startPlatform(options)
}

async function collect(response: Parameters<typeof events>[0]): Promise<StreamEvent[]> {
  const all: StreamEvent[] = []
  for await (const event of events(response)) all.push(event)
  return all
}

function code(reply: { text: string }): string {
  return (JSON.parse(reply.text) as { error: { code: string } }).error.code
}

async function endOf(requestId: unknown): Promise<Record<string, unknown> | undefined> {
  return (await auditRecords(platform.home)).find((record) => record['type'] === 'request.end' && record['requestId'] === requestId)
}

describe('a worker that dies', () => {
  test('before its first token is replaced by the next worker', async () => {
    await start({ workers: [{ dieAfter: 0 }, { tokens: 4 }] })
    // Whichever is tried first: several requests are sure to meet the one that dies.
    for (let i = 0; i < 3; i += 1) expect((await send(platform, chatBody(platform))).status).toBe(200)
    expect(platform.process('worker-0').signalCode).toBe('SIGKILL')
  })

  test('before its first token, with no other, gives 503 with Retry-After, and a record', async () => {
    await start({ workers: [{ dieAfter: 0 }] })
    const reply = await send(platform, chatBody(platform))
    expect(reply.status).toBe(503)
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
    expect(await endOf(reply.headers['x-request-id'])).toMatchObject({ outcome: 'failed' })
  })

  test('after its first token ends the stream with an error event, and a record', async () => {
    await start({ workers: [{ tokens: 50, dieAfter: 5, delayMs: 5 }] })
    const { response } = await open(platform, chatBody(platform, { stream: true }))
    const all = await collect(response)
    expect(all.at(-1)?.error?.code).toBe('peer_lost')
    expect(all.filter((event) => event.choices?.[0]?.delta.content).length).toBeGreaterThan(0)
    expect(await endOf(response.headers['x-request-id'])).toMatchObject({ outcome: 'failed', error: 'peer_lost' })
  })

  test('serves again after its restart', async () => {
    await start({ workers: [{ tokens: 4 }] })
    await platform.kill('worker-0')
    expect((await send(platform, chatBody(platform))).status).toBe(503)
    await platform.restart('worker-0')
    await until(async () => (await send(platform, chatBody(platform))).status === 200, 'the worker to serve again')
  })
})

describe('without audit', () => {
  test('requests get 503, and 200 again once it is back', async () => {
    await start({})
    await platform.kill('audit')
    await until(async () => (await fetch(`${platform.monitor('gateway')}/readyz`)).status === 503, 'the gateway to notice')
    const refused = await send(platform, chatBody(platform))
    expect([refused.status, code(refused)]).toEqual([503, 'audit_unavailable'])
    await platform.restart('audit')
    await platform.ready('gateway')
    expect((await send(platform, chatBody(platform))).status).toBe(200)
  })

  test('a stream under way waits for its end record before it closes', async () => {
    await start({ workers: [{ tokens: 30, delayMs: 10 }] })
    const { response } = await open(platform, chatBody(platform, { stream: true }))
    const stream = events(response)
    await stream.next()
    await platform.kill('audit')
    await platform.restart('audit')
    let last: StreamEvent | undefined
    for await (const event of stream) last = event
    expect(last).toEqual({ done: true })
    expect(await endOf(response.headers['x-request-id'])).toMatchObject({ outcome: 'completed' })
  })

  test('a stream whose end can not be recorded ends with an error event, and its end is recorded later', async () => {
    await start({ workers: [{ tokens: 20, delayMs: 5 }], env: { INTRAMUROS_AUDIT_END_TIMEOUT_SECONDS: '1' } })
    const { response } = await open(platform, chatBody(platform, { stream: true }))
    const stream = events(response)
    await stream.next()
    await platform.kill('audit')
    let last: StreamEvent | undefined
    for await (const event of stream) last = event
    expect(last?.error?.code).toBe('audit_unavailable')
    await platform.restart('audit')
    await until(async () => (await endOf(response.headers['x-request-id'])) !== undefined, 'the late end record')
    expect(await endOf(response.headers['x-request-id'])).toMatchObject({ outcome: 'completed' })
  })
})

test('a client that goes away stops the decoding and is recorded as cancelled', async () => {
  await start({ workers: [{ tokens: 100_000, delayMs: 2 }] })
  const { sent, response } = await open(platform, chatBody(platform, { stream: true, max_tokens: 3000 }))
  await events(response).next()
  sent.destroy()
  const requestId = response.headers['x-request-id']
  await until(async () => (await endOf(requestId)) !== undefined, 'the end record')
  const end = await endOf(requestId)
  expect(end).toMatchObject({ outcome: 'cancelled' })
  expect(end?.['outputTokens']).toBeGreaterThan(0)
  expect(end?.['outputTokens']).toBeLessThan(3000)
  await until(async () => /^intramuros_worker_busy_slots\S* 0$/m.test(await (await fetch(`${platform.monitor('worker-0')}/metrics`)).text()), 'the slot to be free')
})

test('overload: what does not fit the queue gets 429 with Retry-After, the rest is answered', async () => {
  await start({ workers: [{ tokens: 20, delayMs: 10 }], env: { INTRAMUROS_GATEWAY_MAX_CONCURRENT: '2', INTRAMUROS_GATEWAY_MAX_QUEUED: '3' } })
  const replies = await Promise.all(Array.from({ length: 12 }, () => send(platform, chatBody(platform))))
  const refused = replies.filter((reply) => reply.status === 429)
  expect(replies.filter((reply) => reply.status === 200)).toHaveLength(5)
  expect(refused).toHaveLength(7)
  for (const reply of refused) {
    expect(code(reply)).toBe('queue_full')
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
  }
})

describe('drain', () => {
  test('lets the stream under way end, takes nothing new, and ends with status 0', async () => {
    await start({ workers: [{ tokens: 50, delayMs: 10 }] })
    const { response } = await open(platform, chatBody(platform, { stream: true }))
    const stream = events(response)
    await stream.next()
    const ended = platform.drain('gateway', 10_000)
    let last: StreamEvent | undefined
    for await (const event of stream) last = event
    expect(last).toEqual({ done: true })
    expect(await ended).toBe(0)
    await expect(send(platform, chatBody(platform))).rejects.toThrow('ECONNREFUSED')
  })

  test('ends a stream that takes too long with an error event, and a record', async () => {
    await start({ workers: [{ tokens: 100_000, delayMs: 5 }] })
    const { response } = await open(platform, chatBody(platform, { stream: true, max_tokens: 3000 }))
    const stream = events(response)
    await stream.next()
    const ended = platform.drain('gateway', 200)
    let last: StreamEvent | undefined
    for await (const event of stream) last = event
    expect(last?.error?.code).toBe('draining')
    expect(await ended).toBe(0)
    expect(await endOf(response.headers['x-request-id'])).toMatchObject({ outcome: 'failed', error: 'draining' })
  })
})

test('services whose launcher died end by themselves, all of them, with a stream under way', async () => {
  await start({ workers: [{ tokens: 100_000, delayMs: 5 }] })
  const { response } = await open(platform, chatBody(platform, { stream: true, max_tokens: 3000 }))
  await events(response).next()
  const roles: Role[] = ['audit', 'tokenizer', 'worker-0', 'gateway']
  for (const role of roles) {
    // What each of them sees of it: the channel closes, and nobody reads its output.
    platform.process(role).disconnect()
    platform.process(role).stdout?.destroy()
  }
  await until(() => roles.every((role) => platform.process(role).exitCode === 0), 'all of them to end', 8000)
  response.destroy()
  // The ledger went last.
  expect(await endOf(response.headers['x-request-id'])).toMatchObject({ outcome: 'failed', error: 'draining' })
})

test('a peer that hangs fails its calls within seconds, and serves again when it wakes', async () => {
  await start({})
  platform.process('tokenizer').kill('SIGSTOP')
  const began = performance.now()
  expect((await send(platform, chatBody(platform))).status).toBe(503)
  expect(performance.now() - began).toBeLessThan(15_000)
  platform.process('tokenizer').kill('SIGCONT')
  await platform.ready('gateway')
  expect((await send(platform, chatBody(platform))).status).toBe(200)
})
