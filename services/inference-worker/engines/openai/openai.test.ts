import { setTimeout as after } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type ScriptedUpstream, startScriptedUpstream, upstreamEnd, type UpstreamScript, upstreamVocabulary } from '../../../../test/support/scripted-upstream.ts'
import type { DecodedToken, RemoteEnd, RemoteEngine, RemoteRequest } from '../engine.ts'
import { connectEngine, type OpenaiEngineOptions } from './openai.ts'
import type { ServerKindName } from './server-kind.ts'

const kinds: ServerKindName[] = ['vllm', 'sglang', 'llama-server']
const request: RemoteRequest = {
  slot: 0,
  team: 'one',
  tokens: [256, 257],
  answered: 0,
  maxTokens: 50,
  sampling: { temperature: 0.5, topP: 0.9, topK: 7, minP: 0.1, repeatPenalty: 1.1, penaltyWindow: 33, presencePenalty: 0.2, frequencyPenalty: 0.3, logitBias: new Map([[5, -100]]), seed: 4_000_000_000 },
  forbidden: undefined,
  topLogprobs: undefined,
}
const forever = new AbortController().signal
const closing: (() => Promise<void>)[] = []
let lines: string[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
  lines = []
})

async function connected(script: UpstreamScript, change: Partial<OpenaiEngineOptions> = {}): Promise<{ upstream: ScriptedUpstream; engine: RemoteEngine }> {
  const upstream = await startScriptedUpstream(script)
  closing.push(() => upstream.close())
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line) })
  const engine = await connectEngine(
    {
      model: 'served',
      address: { host: '127.0.0.1', port: upstream.port },
      kind: 'auto',
      nameThere: '',
      apiKey: undefined,
      slots: 0,
      contextLength: 0,
      startMs: 5000,
      firstTokenMs: 5000,
      nextTokenMs: 5000,
      monitorMs: 20,
      ...change,
    },
    upstreamVocabulary,
    log,
  )
  closing.push(() => engine.close())
  if (engine.kind !== 'remote') throw new TypeError('not a remote engine')
  return { upstream, engine }
}

async function read(engine: RemoteEngine, change: Partial<RemoteRequest> = {}, signal = forever): Promise<{ tokens: DecodedToken[]; text: string; end: RemoteEnd | undefined }> {
  const tokens: DecodedToken[] = []
  let end: RemoteEnd | undefined
  for await (const item of engine.complete({ ...request, ...change }, signal)) {
    if ('ended' in item) end = item
    else tokens.push(item)
  }
  return { tokens, text: Buffer.concat(tokens.map(({ token }) => engine.texts.text(token))).toString(), end }
}

describe.each(kinds)('%s', (kind) => {
  test('is found out, and says what it serves', async () => {
    const { engine } = await connected({ kind, contextLength: 700 })
    expect(engine).toMatchObject({ model: 'served', contextLength: 700, slots: kind === 'llama-server' ? 2 : 64 })
    expect(engine.upstream?.up).toBe(true)
  })

  test('the tokens come, and why there are no more', async () => {
    const { engine } = await connected({ kind })
    const { text, tokens, end } = await read(engine)
    expect(text).toBe('hello')
    expect(tokens.at(-1)?.token).toBe(upstreamEnd)
    expect(end).toEqual({ ended: 'turn', untold: 0, cachedTokens: 3 })
    expect((await read(engine, { maxTokens: 2 })).end).toMatchObject({ ended: 'limit' })
  })

  test.each([1, 2, 7])('in pieces of %i bytes all the same', async (pieceBytes) => {
    const answer = [...Buffer.from('a 漢字 😀!'), upstreamEnd]
    const { engine } = await connected({ kind, pieceBytes, answer })
    const { tokens, text } = await read(engine)
    expect(text).toBe('a 漢字 😀!')
    expect(tokens.map(({ token }) => token)).toEqual(answer)
  })

  test('a character that the limit cuts is counted', async () => {
    const { engine } = await connected({ kind, answer: [...Buffer.from('a😀'), upstreamEnd] })
    const { tokens, end } = await read(engine, { maxTokens: 3 })
    expect(tokens.length + (end?.untold ?? 0)).toBe(3)
    expect(end?.ended).toBe('limit')
  })

  test('log-probabilities are of the tokens, likeliest first', async () => {
    const { engine } = await connected({ kind })
    const { tokens } = await read(engine, { topLogprobs: 2 })
    expect(tokens[0]).toEqual({ token: 104, logprobs: { logprob: -0.104, top: [{ token: 104, logprob: -0.104 }, { token: 1, logprob: -7 }] } })
    expect((await read(engine)).tokens[0]?.logprobs).toBeUndefined()
    expect((await read(engine, { topLogprobs: 0 })).tokens[0]?.logprobs).toEqual({ logprob: -0.104, top: [] })
  })

  test('the request holds all that shapes the answer', async () => {
    const { engine, upstream } = await connected({ kind })
    await read(engine, { topLogprobs: 3 })
    const text = JSON.stringify(upstream.requests[0])
    for (const part of ['[256,257]', '0.5', '0.9', ':7', '0.1', '1.1', '0.2', '0.3', '-100', ':50']) expect(text).toContain(part)
  })

  test('teams have each their own part of the cache', async () => {
    const { engine, upstream } = await connected({ kind })
    for (const team of ['one', 'one', 'two', 'one']) await read(engine, { team })
    const marks = upstream.requests.map((body) => (kind === 'llama-server' ? body['cache_prompt'] : body['cache_salt']))
    if (kind === 'llama-server') {
      // One slot: it is reused only by the team that had it last.
      expect(marks).toEqual([false, true, false, false])
      expect(upstream.requests.map((body) => body['id_slot'])).toEqual([0, 0, 0, 0])
    } else {
      const [first, again, other, third] = marks as string[]
      expect(first).toMatch(/^[\w-]{43}$/)
      expect([again, third]).toEqual([first, first])
      expect(other).not.toBe(first)
    }
    expect(JSON.stringify(upstream.requests)).not.toContain('"one"')
  })

  test('a server that mixes teams up is refused', async () => {
    await expect(connected({ kind, leaks: 9 })).rejects.toMatchObject({ reason: 'server_unsafe' })
  })

  test('another model is refused', async () => {
    await expect(connected({ kind, otherVocabulary: true })).rejects.toMatchObject({ reason: 'server_mismatch', message: expect.stringContaining('not the same model') as string })
    await expect(connected({ kind, model: 'other' }, { nameThere: 'mine' })).rejects.toMatchObject({ reason: 'server_mismatch' })
  })

  test.each([
    ['a status of 500', { status: 500 }, { reason: 'failed' }],
    ['a status of 400', { status: 400 }, { reason: 'refused' }],
    ['no room', { status: 429 }, { code: 'UNAVAILABLE', reason: 'engine_failed', retryAfterMs: 1000 }],
    ['an end in the middle', { after: { tokens: 2, comes: 'die' } }, { reason: 'broken_off' }],
    ['no JSON', { after: { tokens: 2, comes: { data: '{"canary' } } }, { reason: 'malformed' }],
    ['an error in the stream', { after: { tokens: 2, comes: { data: '{"error":{"message":"canary"}}' } } }, { reason: 'failed' }],
    ['another shape', { after: { tokens: 2, comes: { data: '["canary"]' } } }, { reason: 'malformed' }],
    ['an event without an end', { after: { tokens: 2, comes: { data: `"${'canary'.repeat(2_000_000)}"` } } }, { reason: 'too_large' }],
    ['a token that there is not', { answer: [104, 999_999] }, { reason: 'malformed' }],
  ] satisfies [string, Partial<UpstreamScript>, object][])('%s fails the request, and says nothing of what it was about', async (_what, change, error) => {
    const { engine, upstream } = await connected({ kind })
    upstream.script = { kind, ...change }
    const thrown: unknown = await read(engine).catch((reason: unknown) => reason)
    expect(thrown).toMatchObject(error)
    const { message, cause } = thrown as Error
    expect(`${message} ${String(cause)} ${lines.join('')}`).not.toMatch(/canary|256/)
    upstream.script = { kind }
    await vi.waitUntil(() => engine.upstream?.up === true, 5000)
    expect((await read(engine)).text).toBe('hello')
    await vi.waitUntil(() => upstream.open === 0, 5000)
  })

  test('forbidden tokens are masked', async () => {
    const { engine, upstream } = await connected({ kind })
    const forbidden = new Uint8Array(engine.vocabularySize).fill(1)
    forbidden[104] = 0
    forbidden[7] = 0
    const { tokens, end } = await read(engine, { forbidden, maxTokens: 1 })
    expect(tokens.map(({ token }) => token)).toEqual([104])
    expect(end?.ended).toBe('limit')
    const [body = {}] = upstream.requests
    const params = (body['sampling_params'] ?? body) as Record<string, unknown>
    if (kind === 'vllm') expect(params['allowed_token_ids']).toEqual([7, 104])
    if (kind === 'sglang') expect(params['logit_bias']).toMatchObject({ 5: -1e9, 6: -1e9, 105: -1e9, [upstreamEnd]: -1e9 })
    if (kind === 'llama-server') expect(params['logit_bias']).toContainEqual([105, false])
    if (kind !== 'vllm') expect(JSON.stringify(params['logit_bias'])).not.toMatch(/\b(104|7)"?[:,]/)
    await read(engine, { forbidden, maxTokens: 1, sampling: { ...request.sampling, repeatPenalty: 1 } })
    const lifted = (upstream.requests[1]?.['sampling_params'] ?? upstream.requests[1]) as Record<string, unknown>
    if (kind === 'sglang') expect(lifted['logit_bias']).toEqual({ 7: 1000, 104: 1000 })
    if (kind === 'llama-server') expect(lifted['logit_bias']).toEqual([[7, 1000], [104, 1000]])
  })

  test.each([0, 2])('silence after %i tokens ends in time', async (tokens) => {
    const { engine, upstream } = await connected({ kind, after: { tokens, comes: 'hang' } }, { firstTokenMs: 100, nextTokenMs: 100 })
    const begin = performance.now()
    await expect(read(engine)).rejects.toMatchObject({ reason: 'timeout' })
    expect(performance.now() - begin).toBeLessThan(4000)
    await vi.waitUntil(() => upstream.open === 0, 5000)
  })

  test('a cancel closes the connection at once', async () => {
    const { engine, upstream } = await connected({ kind, after: { tokens: 2, comes: 'hang' } })
    const gone = new AbortController()
    const reading = read(engine, {}, gone.signal)
    await vi.waitUntil(() => upstream.open === 1, 5000)
    gone.abort()
    expect((await reading).end).toBeUndefined()
    await vi.waitUntil(() => upstream.open === 0, 5000)
    expect(engine.upstream?.up).toBe(true)
  })

  test('a caller that reads no further closes it, too', async () => {
    const { engine, upstream } = await connected({ kind, after: { tokens: 2, comes: 'hang' } })
    const items = engine.complete(request, forever)
    expect((await items.next()).done).toBe(false)
    await items.return()
    await vi.waitUntil(() => upstream.open === 0, 5000)
  })

  test('its death is noticed, and its return', async () => {
    const { engine, upstream } = await connected({ kind })
    await upstream.close()
    await vi.waitUntil(() => engine.upstream?.up === false, 5000)
    await expect(read(engine)).rejects.toMatchObject({ reason: 'unreachable' })
    // Something else in its place is not it.
    const other = await startScriptedUpstream({ kind, otherVocabulary: true }, upstream.port)
    await vi.waitUntil(() => lines.some((line) => line.includes('not what it was')), 5000)
    expect(engine.upstream?.up).toBe(false)
    await other.close()
    const back = await startScriptedUpstream({ kind }, upstream.port)
    closing.unshift(() => back.close())
    await vi.waitUntil(() => engine.upstream?.up === true, 5000)
    expect((await read(engine)).text).toBe('hello')
  })

  test('an engine that hangs is noticed, though its server answers', async () => {
    const { engine, upstream } = await connected({ kind }, { nextTokenMs: 200 })
    upstream.script = { kind, metrics: 'hang' }
    await vi.waitUntil(() => engine.upstream?.up === false, 5000)
    expect(lines.join('')).toContain('"why":"hangs"')
    upstream.script = { kind }
    upstream.dropAll()
    await vi.waitUntil(() => engine.upstream?.up === true, 5000)
  })

  test('what it says of its load is read', async () => {
    const [running, waiting] = { vllm: ['vllm:num_requests_running', 'vllm:num_requests_waiting'], sglang: ['sglang:num_running_reqs', 'sglang:num_queue_reqs'], 'llama-server': ['llamacpp:requests_processing', 'llamacpp:requests_deferred'] }[kind]
    const metrics = `# HELP ${running} x\n${running}{model_name="a b} 9",engine="0"} 3.0\n${running}{engine="1"} 2\n${running}_by_x{a="b"} 70\n${waiting} 4\n`
    const { engine } = await connected({ kind, metrics })
    await vi.waitUntil(() => engine.upstream?.load !== undefined, 5000)
    expect(engine.upstream?.load).toEqual({ running: 5, waiting: 4 })
  })

  test('the key is sent', async () => {
    const { upstream } = await connected({ kind }, { apiKey: 'secret' })
    expect(upstream.headers.every(({ authorization }) => authorization === 'Bearer secret')).toBe(true)
    expect(lines.join('')).not.toContain('secret')
  })
})

test('SGLang tells all tokens in each event, or only the new ones', async () => {
  const { engine } = await connected({ kind: 'sglang', incremental: true })
  const { text, tokens } = await read(engine, { topLogprobs: 1 })
  expect(text).toBe('hello')
  expect(tokens.map(({ logprobs }) => logprobs?.logprob)).toEqual([...Buffer.from('hello'), upstreamEnd].map((token) => -token / 1000))
})

test('more slots than llama-server has are refused', async () => {
  await expect(connected({ kind: 'llama-server' }, { slots: 3 })).rejects.toMatchObject({ reason: 'too_many_slots' })
  expect((await connected({ kind: 'llama-server' }, { slots: 1, contextLength: 100 })).engine).toMatchObject({ slots: 1, contextLength: 100 })
})

test('a server of another kind is refused, with words', async () => {
  const upstream = await startScriptedUpstream({ kind: 'vllm' })
  upstream.script = { kind: 'tgi' as 'vllm' }
  closing.push(() => upstream.close())
  const options = { model: 'm', address: { host: '127.0.0.1', port: upstream.port }, kind: 'auto', nameThere: '', apiKey: undefined, slots: 0, contextLength: 0, startMs: 5000, firstTokenMs: 5000, nextTokenMs: 5000 } as const
  await expect(connectEngine(options, upstreamVocabulary, pino({ level: 'silent' }))).rejects.toMatchObject({ reason: 'server_mismatch', message: expect.stringContaining('Text Generation Inference') as string })
})

test('a server that is not there yet is waited for, and not for ever', async () => {
  const first = await startScriptedUpstream({ kind: 'vllm' })
  const { port } = first
  await first.close()
  const options = { model: 'm', address: { host: '127.0.0.1', port }, kind: 'auto', nameThere: '', apiKey: undefined, slots: 0, contextLength: 0, startMs: 300, firstTokenMs: 5000, nextTokenMs: 5000 } as const
  const log = pino({ level: 'silent' })
  await expect(connectEngine(options, upstreamVocabulary, log)).rejects.toMatchObject({ reason: 'unreachable' })
  const waiting = connectEngine({ ...options, startMs: 10_000 }, upstreamVocabulary, log)
  await after(50)
  const late = await startScriptedUpstream({ kind: 'vllm' }, port)
  closing.push(() => late.close())
  await (await waiting).close()
})
