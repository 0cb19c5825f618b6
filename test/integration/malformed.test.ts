import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform } from '../support/platform.ts'

const count = 2000
const maxBodyBytes = 50_000
let platform: Platform

beforeAll(async () => {
  platform = await startPlatform({
    workers: [{ tokens: 2 }],
    env: { INTRAMUROS_GATEWAY_MAX_BODY_BYTES: String(maxBodyBytes), INTRAMUROS_GATEWAY_BODY_TIMEOUT_SECONDS: '2', INTRAMUROS_LOG_LEVEL: 'warn' },
  })
})
afterAll(() => platform.stop())

/** A generator with a seed, so that a failure can be told and seen again. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

interface Malformed {
  kind: string
  bytes: Buffer
  /** Send half, then wait for the server to act. */
  slow?: boolean
}

function post(body: string | Buffer, headers: string[] = [], authorised = true): Buffer {
  const bytes = Buffer.from(body)
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    'host: localhost',
    ...(authorised ? [`authorization: Bearer ${platform.key}`] : []),
    'content-type: application/json',
    ...(headers.some((header) => /^(content-length|transfer-encoding)/i.test(header)) ? [] : [`content-length: ${bytes.length}`]),
    ...headers,
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes])
}

function malformed(index: number): Malformed {
  const next = random(index + 1)
  const pick = <T>(...from: T[]): T => from[Math.floor(next() * from.length)] as T
  const good = JSON.stringify(chatBody(platform, { temperature: 0.5, stop: ['a'] }))
  const wrong: unknown[] = [null, 1, -1, 1e308, 0.5, '', 'x', true, [], [null], {}, { a: 1 }, [[[]]]]
  const fields = ['model', 'messages', 'temperature', 'top_p', 'max_tokens', 'stop', 'seed', 'stream', 'stream_options', 'n', 'tools']
  const kinds: (() => Malformed)[] = [
    () => ({ kind: 'cut JSON', bytes: post(good.slice(0, Math.floor(next() * (good.length - 1)))) }),
    () => {
      const field = pick(...fields.slice(0, 2))
      return { kind: `wrong type of ${field}`, bytes: post(JSON.stringify({ ...(JSON.parse(good) as object), [field]: pick(...wrong.filter((value) => field !== 'model' || typeof value !== 'string')) })) }
    },
    () => ({ kind: 'huge number', bytes: post(good.replace('0.5', pick('1e999', '-1e999', '9'.repeat(400), '1e308'))) }),
    () => ({ kind: 'deep nesting', bytes: post(pick('[', '{"a":').repeat(1000 + Math.floor(next() * 6000))) }),
    () => ({ kind: 'deep and closed', bytes: post(`{"model":"m","messages":${'['.repeat(5000)}${']'.repeat(5000)}}`) }),
    () => ({ kind: 'invalid UTF-8', bytes: post(Buffer.concat([Buffer.from(good.slice(0, 20)), Buffer.from([0xc3, 0x28, 0xff, Math.floor(next() * 256)]), Buffer.from(good.slice(20))])) }),
    () => ({ kind: 'oversized by length', bytes: post(good, [`content-length: ${maxBodyBytes + 1 + Math.floor(next() * 1e9)}`]) }),
    () => ({ kind: 'oversized in chunks', bytes: post(`${(60_000).toString(16)}\r\n${'x'.repeat(60_000)}\r\n0\r\n\r\n`, ['transfer-encoding: chunked']) }),
    () => ({ kind: 'header flood', bytes: post(good, Array.from({ length: 3000 }, (_, n) => `x-${n}: ${'y'.repeat(20)}`)) }),
    () => ({ kind: 'one huge header', bytes: post(good, [`x-big: ${'y'.repeat(20_000)}`]) }),
    () => ({ kind: 'two lengths', bytes: post(good, ['content-length: 5', 'content-length: 6']) }),
    () => ({ kind: 'length and chunked', bytes: post(`0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n`, ['content-length: 5', 'transfer-encoding: chunked']) }),
    () => ({ kind: 'odd transfer-encoding', bytes: post(good, [pick('transfer-encoding: xchunked', 'transfer-encoding : chunked', 'transfer-encoding: chunked, identity', 'transfer-encoding:\x0bchunked')]) }),
    () => ({ kind: 'bad length', bytes: post(good, [pick('content-length: -1', 'content-length: 1e3', 'content-length: 0x10', 'content-length: +5', 'content-length: 99999999999999999999')]) }),
    () => ({ kind: 'bad chunk size', bytes: post(`${pick('zz', '-1', 'fffffffffffffffff', '5;\n')}\r\nhello\r\n0\r\n\r\n`, ['transfer-encoding: chunked']) }),
    () => ({ kind: 'folded header', bytes: post(good, ['x-a: 1\r\n folded']) }),
    () => ({ kind: 'control characters in a header', bytes: post(good, [`x-a: ${pick('\x00', '\x01', '\r', '\x7f')}b`]) }),
    () => ({ kind: 'bad request line', bytes: Buffer.from(pick('GET\r\n\r\n', 'POST /v1 HTTP/9.9\r\n\r\n', ' / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1 x\r\nhost: a\r\n\r\n', `G${'E'.repeat(30_000)}T / HTTP/1.1\r\n\r\n`, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')) }),
    () => ({ kind: 'no host', bytes: Buffer.from('POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}') }),
    () => ({ kind: 'random bytes', bytes: Buffer.from(Array.from({ length: 1 + Math.floor(next() * 400) }, () => Math.floor(next() * 256))) }),
    () => ({ kind: 'no key', bytes: post(good, [], false) }),
    () => ({ kind: 'lengths that lie', bytes: post(good.slice(0, 30), [`content-length: ${good.length}`]), slow: true }),
  ]
  // The slow ones take seconds each: every fortieth request is one.
  const slow = index % 40 === 39
  return (slow ? kinds.at(-1) : kinds[index % (kinds.length - 1)])?.() ?? { kind: 'none', bytes: Buffer.alloc(0) }
}

/** Status of the first response, or "closed" when the connection ends without one. */
function outcome({ bytes }: Malformed): Promise<{ status: number | 'closed'; answers: number }> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ port: Number(new URL(platform.url).port), host: '127.0.0.1', servername: 'localhost', ca: platform.ca })
    let text = ''
    const limit = setTimeout(() => reject(new Error('neither an answer nor an end within 15 s')), 15_000)
    const settle = (): void => {
      clearTimeout(limit)
      socket.destroy()
      const answers = text.match(/^HTTP\/1\.1 \d{3}/gm) ?? []
      resolve({ status: answers[0] === undefined ? 'closed' : Number(answers[0].slice(9)), answers: answers.length })
    }
    socket.on('secureConnect', () => socket.write(bytes))
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      // Leave time for a second, smuggled answer to come.
      if (text.includes('\r\n\r\n')) setImmediate(() => setTimeout(settle, 15))
    })
    socket.on('error', settle)
    socket.on('close', settle)
    if (bytes.length < 30 || !bytes.includes('\r\n\r\n')) socket.on('secureConnect', () => socket.end())
  })
}

test(
  `${count} malformed requests get 4xx or a closed connection, and good ones go on working`,
  async () => {
    const surprises: string[] = []
    let index = 0
    const client = async (): Promise<void> => {
      while (index < count) {
        const mine = index
        index += 1
        const request = malformed(mine)
        const { status, answers } = await outcome(request)
        if (status !== 'closed' && (status < 400 || status >= 500)) surprises.push(`#${mine} ${request.kind}: ${status}`)
        if (answers > 1) surprises.push(`#${mine} ${request.kind}: ${answers} answers to one request`)
        if (mine % 100 === 0 && (await send(platform, chatBody(platform))).status !== 200) surprises.push(`a good request failed after #${mine}`)
      }
    }
    await Promise.all(Array.from({ length: 16 }, client))
    expect(surprises).toEqual([])
    expect((await send(platform, chatBody(platform))).status).toBe(200)
    for (const role of ['gateway', 'tokenizer', 'worker-0', 'audit'] as const) expect(platform.process(role).exitCode).toBe(null)
  },
  120_000,
)
