import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { FinishReason, type Finish, type GenerateEvent } from '../../proto/gen/intramuros/v1/inference.ts'
import { generateRequest } from '../../test/support/generate-request.ts'
import { byteTokens, createScriptedEngine, endOfGeneration, type Script } from '../../test/support/scripted-engine.ts'
import { ServiceError } from '../shared/errors.ts'
import { createMetrics } from './metrics.ts'
import { createInferenceService, type InferenceOptions } from './service.ts'

const canary = 'canary-5f1c'
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

async function startService(script: Script = {}, options: Partial<InferenceOptions> = {}) {
  const registry = new Registry()
  const lines: unknown[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const onHang = vi.fn<() => void>()
  const engine = createScriptedEngine(script)
  const service = createInferenceService({
    engine,
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000, ...options },
    log,
    metrics: createMetrics(registry),
    onHang,
  })
  closers.push(() => service.close())
  await vi.waitUntil(() => service.ready())
  const generate = (request: Parameters<typeof generateRequest>[0] = {}, signal = new AbortController().signal) =>
    service.generate(
      generateRequest(request),
      { requestId: 'r1', peer: 'gateway', signal },
    )
  const metric = async (name: string) => (await registry.metrics()).split('\n').filter((text) => text.startsWith(name))
  return { service, engine, generate, lines, metric, onHang, registry }
}

interface Answer {
  text: string
  tokens: number[]
  finish: Finish | undefined
  texts: string[]
}

async function read(events: AsyncIterable<GenerateEvent>): Promise<Answer> {
  const answer: Answer = { text: '', tokens: [], finish: undefined, texts: [] }
  for await (const { event } of events) {
    expect(answer.finish, 'the finish is the last event').toBeUndefined()
    if (event?.$case === 'delta') {
      answer.text += event.value.text
      answer.texts.push(event.value.text)
      answer.tokens.push(...event.value.tokens)
    } else if (event?.$case === 'finish') answer.finish = event.value
  }
  return answer
}

const says = (text: string): Script => ({ answer: () => byteTokens(text) })

describe('an answer', () => {
  test('comes as text and tokens, and ends when the model ends its turn', async () => {
    const { generate } = await startService({ tokens: 5 })
    const answer = await read(generate())
    expect(answer.text).toMatch(/^( w[0-9a-z]+){5}$/)
    expect(answer.tokens).toHaveLength(5)
    expect(answer.finish).toMatchObject({ reason: FinishReason.STOP, inputTokens: 3, outputTokens: 6 })
  })

  test('ends at the token limit', async () => {
    const { generate } = await startService({ tokens: 50 })
    const answer = await read(generate({ maxTokens: 7 }))
    expect(answer.tokens).toHaveLength(7)
    expect(answer.finish).toMatchObject({ reason: FinishReason.LENGTH, outputTokens: 7 })
  })

  test('shows characters whole, and leaves out one that the limit cuts', async () => {
    const { generate } = await startService(says('é🦉!'))
    expect((await read(generate())).texts).toEqual(['é', '🦉', '!'])
    const cut = await read(generate({ maxTokens: 4 }))
    expect(cut.texts).toEqual(['é'])
    expect(cut.finish?.reason).toBe(FinishReason.LENGTH)
  })

  test('shows that a model ended its turn inside a character', async () => {
    const { generate } = await startService({ answer: () => [0x61, 0xc3] })
    expect((await read(generate())).text).toBe('a\uFFFD')
  })

  test('ends before a stop sequence that comes over several tokens', async () => {
    const { generate } = await startService(says('one two STOP three'))
    const answer = await read(generate({ stop: ['STOP', 'never'] }))
    expect(answer.text).toBe('one two ')
    expect(answer.finish).toMatchObject({ reason: FinishReason.STOP, outputTokens: 12 })
  })

  test('shows the beginning of a stop sequence when the model ends there', async () => {
    const { generate } = await startService(says('one ST'))
    const answer = await read(generate({ stop: ['STOP'] }))
    expect(answer.text).toBe('one ST')
    expect(answer.finish?.reason).toBe(FinishReason.STOP)
  })

  test('a stop sequence that the last allowed token completes is a stop', async () => {
    const { generate } = await startService(says('one two'))
    expect(await read(generate({ stop: [' t'], maxTokens: 5 }))).toMatchObject({
      text: 'one',
      finish: { reason: FinishReason.STOP },
    })
  })
})

describe('validation', () => {
  test.each([
    ['another model', { model: 'other' }, { code: 'NOT_FOUND', reason: 'model_not_found', param: 'model' }],
    ['no tokens', { tokens: [] }, { code: 'INVALID_ARGUMENT', reason: 'empty_prompt' }],
    ['no grammar', { constraint: { grammar: '', after: [] } }, { code: 'INVALID_ARGUMENT', reason: 'invalid_grammar', param: 'grammar' }],
  ])('%s is refused', async (_what, request, error) => {
    const { generate, metric } = await startService()
    await expect(read(generate(request))).rejects.toMatchObject(error)
    expect(await metric('intramuros_worker_requests_total{outcome="refused"}')).toEqual([
      'intramuros_worker_requests_total{outcome="refused"} 1',
    ])
  })

  test('exactly the context is allowed', async () => {
    const { generate } = await startService()
    expect((await read(generate({ maxTokens: 4093 }))).finish?.reason).toBe(FinishReason.STOP)
  })
})

describe('log-probabilities', () => {
  test('come one for each token of the text, with the delta that brings its text', async () => {
    const { generate } = await startService(says('é STOxP no'))
    const tokens: number[] = []
    for await (const { event } of generate({ stop: ['STOP'], topLogprobs: 2 })) {
      if (event?.$case !== 'delta') continue
      tokens.push(...event.value.tokens)
      expect(event.value.logprobs.map(({ token }) => token?.token)).toEqual(event.value.tokens)
      expect(Buffer.concat(event.value.logprobs.map(({ token }) => token?.text ?? Buffer.alloc(0))).toString()).toBe(event.value.text)
      for (const { top } of event.value.logprobs) expect(top).toHaveLength(2)
    }
    expect(tokens).toEqual(byteTokens('é STOxP no'))
  })

  test('are not told when nobody asked', async () => {
    const { generate } = await startService()
    for await (const { event } of generate()) if (event?.$case === 'delta') expect(event.value.logprobs).toEqual([])
  })

  test('of a stop sequence are not told', async () => {
    const { generate } = await startService(says('one STOP'))
    expect(await read(generate({ stop: ['STOP'], topLogprobs: 0 }))).toMatchObject({
      tokens: byteTokens('one '),
      finish: { stopSequence: 'STOP' },
    })
  })
})

describe('a guided answer', () => {
  test('that the grammar does not allow ends the request, not the worker', async () => {
    const { generate, service, metric } = await startService({ text: '{"a": 1, "b"' })
    const constraint = { grammar: 'root ::= "{\\"a\\": " [0-9]+ "}"', after: [] }
    await expect(read(generate({ constraint }))).rejects.toMatchObject({ code: 'INTERNAL', reason: 'grammar_failed' })
    expect(service.ready()).toBe(true)
    expect(await metric('intramuros_worker_requests_total{outcome="failed"}')).toHaveLength(1)
    expect((await read(generate())).text).toBe('{"a": 1, "b"')
  })

  test('reasons no longer than its budget', async () => {
    const { generate } = await startService({ text: 'thinking on and on' })
    const reasoningBudget = { tokens: 5, begin: '', end: '</t>', endTokens: byteTokens('</t>') }
    const { text, finish } = await read(generate({ reasoningBudget, maxTokens: 12 }))
    expect(text).toBe('think</t>on ')
    expect(finish).toMatchObject({ reasoningTokens: 9, outputTokens: 12 })
  })

  test('shows an end of the turn that is to be seen', async () => {
    const { generate } = await startService({ text: 'é' })
    const answer = await read(generate({ visibleTokens: [endOfGeneration], topLogprobs: 0 }))
    expect(answer).toMatchObject({ text: 'é<|end|>', finish: { reason: FinishReason.STOP, outputTokens: 3 } })
    expect(answer.tokens).toEqual([...byteTokens('é'), endOfGeneration])
  })
})

describe('slots', () => {
  test('many requests share few slots, each answer is its own, and nothing is lost', async () => {
    const { generate, metric } = await startService({ slots: 3, tokens: 20 }, { maxQueued: 100 })
    const prompts = Array.from({ length: 40 }, (_, index) => [index, 7])
    const together = await Promise.all(prompts.map((tokens) => read(generate({ tokens }))))
    for (const [index, tokens] of prompts.entries()) expect((await read(generate({ tokens }))).text).toBe(together[index]?.text)
    expect(new Set(together.map(({ text }) => text)).size).toBe(40)
    expect(together.some(({ finish }) => (finish?.queueUs ?? 0n) > 0n)).toBe(true)
    expect(await metric('intramuros_worker_busy_slots')).toEqual(['intramuros_worker_busy_slots 0'])
  })

  test('a full queue refuses', async () => {
    const { generate } = await startService({ slots: 1, tokens: 1000 }, { maxQueued: 0 })
    const first = generate()[Symbol.asyncIterator]()
    await first.next()
    await expect(read(generate())).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'queue_full' })
    await first.return?.()
    expect((await read(generate({ maxTokens: 1 }))).finish?.reason).toBe(FinishReason.LENGTH)
  })

  test('a consumer that stops reading frees the slot at once', async () => {
    const { generate, lines } = await startService({ slots: 1, tokens: 1000 }, { maxQueued: 0 })
    for await (const { event } of generate()) {
      expect(event?.$case).toBe('delta')
      break
    }
    expect((await read(generate({ maxTokens: 1 }))).finish).toBeDefined()
    expect(lines).toMatchObject([
      { msg: 'the model answers' },
      { msg: 'generate', outcome: 'cancelled' },
      { msg: 'generate', outcome: 'length' },
    ])
  })

  test('a cancel ends it while running and while queued', async () => {
    const { generate } = await startService({ slots: 1, tokens: 1_000_000, contextLength: 2_000_000 })
    const gone = new AbortController()
    const events = generate({ maxTokens: 1_000_000 }, gone.signal)[Symbol.asyncIterator]()
    await events.next()
    const queued = read(generate({}, gone.signal))
    const stays = read(generate({ maxTokens: 3 }))
    gone.abort(new ServiceError('CANCELLED', 'cancelled', 'The caller went away.'))
    await expect(queued).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect(
      (async () => {
        for (;;) if ((await events.next()).done === true) return
      })(),
    ).rejects.toMatchObject({ code: 'CANCELLED' })
    expect((await stays).finish?.outputTokens).toBe(3)
  })

  test('a deadline is told as such', async () => {
    const { generate } = await startService({ tokens: 1000 })
    const late = new AbortController()
    late.abort(new ServiceError('DEADLINE_EXCEEDED', 'deadline_exceeded', 'The call took too long.'))
    await expect(read(generate({}, late.signal))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })
})

describe('a failing engine', () => {
  test('ends the request as UNAVAILABLE and frees its slot', async () => {
    const { generate, lines, metric } = await startService({ slots: 1, failAfter: 3 })
    for (let round = 0; round < 2; round += 1) {
      await expect(read(generate())).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
    }
    expect(await metric('intramuros_worker_requests_total{outcome="failed"}')).toEqual([
      'intramuros_worker_requests_total{outcome="failed"} 2',
    ])
    expect(JSON.stringify(lines)).not.toContain('scripted failure')
  })

  test('is probed as soon as nobody uses it', async () => {
    const script: Script = { slots: 1 }
    const { service, generate } = await startService(script)
    script.failAfter = 0
    await expect(read(generate())).rejects.toMatchObject({ reason: 'engine_failed' })
    await vi.waitFor(() => expect(service.ready()).toBe(false), 5000)
  })

  test('that answers no probe is not ready, and requests are refused', async () => {
    const script: Script = { slots: 1 }
    const { service, generate } = await startService(script, { probeIntervalMs: 1 })
    script.failAfter = 0
    await vi.waitFor(() => expect(service.ready()).toBe(false), 5000)
    await expect(read(generate())).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
    delete script.failAfter
    await vi.waitFor(() => expect(service.ready()).toBe(true), 5000)
    expect((await read(generate())).finish).toBeDefined()
  })

  test('that answers no probe ends the watches', async () => {
    const script: Script = {}
    const { service } = await startService(script, { probeIntervalMs: 1 })
    const states = service.watch({}, { requestId: 'w', peer: 'gateway', signal: new AbortController().signal })
    script.failAfter = 0
    for await (const state of states) expect(state.model).toBe('scripted')
    expect(service.ready()).toBe(false)
  })

  test('that hangs is noticed, once', async () => {
    const script: Script = { hangAfter: 2 }
    const { service, engine, generate, onHang } = await startService(script, { stepTimeoutMs: 50 })
    const answer = read(generate())
    await vi.waitUntil(() => onHang.mock.calls.length > 0, 5000)
    const since = engine.stepMs()
    await vi.waitUntil(() => engine.stepMs() > since + 600, 5000)
    expect(service.ready()).toBe(false)
    await service.close()
    await expect(answer).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(onHang).toHaveBeenCalledTimes(1)
  })
})

describe('draining', () => {
  test('refuses new requests and lets the others end', async () => {
    const { service, generate } = await startService({ slots: 1, tokens: 30 })
    const events = generate()[Symbol.asyncIterator]()
    await events.next()
    const queued = read(generate())
    const drained = service.drain(new AbortController().signal)
    expect(service.ready()).toBe(false)
    await expect(read(generate())).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
    while ((await events.next()).done !== true);
    expect((await queued).finish?.outputTokens).toBe(31)
    await drained
  })

  test('ends what has not ended in time', async () => {
    const { service, generate } = await startService({ tokens: 1_000_000, contextLength: 2_000_000 })
    const running = read(generate({ maxTokens: 1_000_000 })).catch((thrown: unknown) => thrown)
    await service.drain(AbortSignal.timeout(50))
    expect(await running).toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
  })
})

describe('watching', () => {
  test('tells the state at once and after each change, changes of a moment together', async () => {
    const { service, generate } = await startService({ slots: 2, tokens: 1000 })
    const stop = new AbortController()
    const states = service.watch({}, { requestId: 'w', peer: 'gateway', signal: stop.signal })[Symbol.asyncIterator]()
    expect((await states.next()).value).toMatchObject({ model: 'scripted', contextLength: 4096, slots: 2, running: 0, queued: 0 })
    const since = performance.now()
    const requests = [generate(), generate(), generate()].map((events) => events[Symbol.asyncIterator]())
    const waiting = requests.map((events) => events.next())
    expect((await states.next()).value).toMatchObject({ running: 2, queued: 1 })
    expect(performance.now() - since).toBeGreaterThan(90)
    await Promise.all(waiting.slice(0, 2))
    await Promise.all(requests.slice(0, 2).map(async (events) => await events.return?.()))
    await waiting[2]
    await requests[2]?.return?.()
    expect((await states.next()).value).toMatchObject({ running: 0, queued: 0 })
    const last = states.next()
    stop.abort()
    expect((await last).done).toBe(true)
  })

  test('ends when the worker drains, and is refused after that', async () => {
    const { service } = await startService()
    const open = () =>
      service.watch({}, { requestId: 'w', peer: 'gateway', signal: new AbortController().signal })[Symbol.asyncIterator]()
    const states = open()
    await states.next()
    await service.drain(new AbortController().signal)
    expect((await states.next()).done).toBe(true)
    await expect(open().next()).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
  })
})

describe('what is told', () => {
  test('one line a request, counts and times, nothing of its content', async () => {
    const { generate, lines, registry } = await startService(says(`${canary} answer`))
    await read(generate({ stop: [`${canary}-stop`], tokens: byteTokens(canary) }))
    expect(lines).toMatchObject([
      { msg: 'the model answers' },
      {
        msg: 'generate',
        level: 30,
        requestId: 'r1',
        outcome: 'stop',
        inputTokens: canary.length,
        outputTokens: canary.length + 8,
      },
    ])
    const everything = JSON.stringify(lines) + (await registry.metrics())
    expect(everything).not.toContain(canary)
    expect(everything).not.toContain(byteTokens(canary).join(','))
    expect(everything).toContain(`intramuros_worker_tokens_total{direction="output"} ${canary.length + 8}`)
  })
})

test('ten thousand cancelled requests leak no slot', async () => {
  const { generate, metric } = await startService({ slots: 4, tokens: 100 }, { maxQueued: 10_000 })
  const one = async (index: number): Promise<void> => {
    const gone = new AbortController()
    const events = generate({ tokens: [index] }, gone.signal)[Symbol.asyncIterator]()
    const first = events.next()
    if (index % 2 === 0) gone.abort()
    await first.catch(() => undefined)
    gone.abort()
    await events.next().catch(() => undefined)
  }
  await Promise.all(Array.from({ length: 10_000 }, (_, index) => one(index)))
  expect(await metric('intramuros_worker_busy_slots')).toEqual(['intramuros_worker_busy_slots 0'])
  expect(await metric('intramuros_worker_queued_requests')).toEqual(['intramuros_worker_queued_requests 0'])
  expect((await read(generate())).finish).toBeDefined()
})
