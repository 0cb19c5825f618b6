import fc from 'fast-check'
import { Check } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import { ServiceError } from '../../../shared/errors.ts'
import type { ChoiceEnd } from '../../generation.ts'
import { grouped, randomParts } from '../../test-support/random-parts.ts'
import { recordingExchange } from '../../test-support/recording-exchange.ts'
import { messagesErrors } from './errors.ts'
import { parseMessagesRequest } from './request.ts'
import { MessageObject, MessagesError, MessageStreamEvent } from './response.ts'

const limit = 5
const base = { model: 'm', max_tokens: limit, messages: [{ role: 'user', content: 'hi' }] }
const used = { input: 3, cached: 0, output: limit, reasoning: 0 }

interface Block {
  type: string
  text?: string
  thinking?: string
  input?: unknown
  id?: string
}

interface StreamEvent {
  type: string
  index: number
  message: { content: Block[] }
  content_block: Block
  delta: { type: string; text: string; thinking: string; partial_json: string; stop_reason: string; stop_sequence: string }
}

const stop: ChoiceEnd = { finishReason: 'stop', stopSequence: undefined }

function play(groups: readonly (readonly OutputPart[])[], end: ChoiceEnd, body: object, tokens = used) {
  const exchange = recordingExchange()
  const played = { exchange, text: '' }
  const { write, json } = exchange
  exchange.write = (text) => {
    played.text += text
    return write(text)
  }
  exchange.json = (status, text) => {
    played.text = text
    json(status, text)
  }
  const answer = parseMessagesRequest({ ...base, ...body }).answer(exchange)
  answer.start([{ text: '', tokens: 3 }])
  for (const parts of groups) void answer.parts(0, parts, [])
  void answer.endChoice(0, end)
  answer.finish(tokens)
  return played
}

function wholeOf(groups: readonly (readonly OutputPart[])[], end = stop, body: object = {}, tokens = used) {
  return play(groups, end, body, tokens).exchange.whole() as { content: Block[] }
}

function streamOf(groups: readonly (readonly OutputPart[])[], end = stop, body: object = {}, tokens = used) {
  return play(groups, end, { ...body, stream: true }, tokens).exchange.events() as StreamEvent[]
}

/** As Anthropic's clients put a stream together. */
function accumulate(events: readonly StreamEvent[]): Block[] {
  const blocks: Block[] = []
  const json = new Map<number, string>()
  for (const event of events) {
    const block = blocks[event.index]
    if (event.type === 'content_block_start') blocks.push(event.content_block)
    else if (event.type === 'content_block_delta' && block !== undefined) {
      if (event.delta.type === 'text_delta') block.text += event.delta.text
      else if (event.delta.type === 'thinking_delta') block.thinking += event.delta.thinking
      else json.set(event.index, (json.get(event.index) ?? '') + event.delta.partial_json)
    }
  }
  for (const [index, text] of json) {
    const block = blocks[index]
    if (block !== undefined) block.input = parsed(text)
  }
  return blocks.map(withoutId)
}

/** Ids are another each time. */
function withoutId(block: Block): Block {
  const copy = { ...block }
  delete copy.id
  return copy
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

const text: OutputPart = { kind: 'text', text: 'a' }
const reasoning: OutputPart = { kind: 'reasoning', text: 'hm' }
const called = (json: string): OutputPart[] => [{ kind: 'tool_call', index: 0, name: 'f' }, { kind: 'tool_arguments', index: 0, text: json }]

describe('a stream', () => {
  test('has its events in the order of the API', () => {
    const events = streamOf([[reasoning, text], [text], called('{}')])
    expect(events.map(({ type, content_block: block, delta }) => [type, block?.type ?? delta?.type].filter((name) => name !== undefined).join(' '))).toEqual([
      'message_start',
      'content_block_start thinking',
      'content_block_delta thinking_delta',
      'content_block_stop',
      'content_block_start text',
      'content_block_delta text_delta',
      'content_block_delta text_delta',
      'content_block_stop',
      'content_block_start tool_use',
      'content_block_delta input_json_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
    expect(events[0]?.message).toMatchObject({ content: [], stop_reason: null, usage: { input_tokens: 3, output_tokens: 0 } })
    expect(events.at(-2)).toMatchObject({ usage: { input_tokens: 3, output_tokens: limit } })
    expect(play([[text]], stop, { stream: true }).exchange.ended).toBe(true)
  })

  test('names each event as its data does', () => {
    const names = play([[reasoning, text]], stop, { stream: true }).text.split('\n\n').slice(0, -1).map((event) => /^event: (.*)\ndata: (.*)$/.exec(event))
    expect(names.map((match) => match?.[1])).toEqual(names.map((match) => (JSON.parse(match?.[2] ?? '') as StreamEvent).type))
  })

  test('is what comes whole, whatever pieces it comes in', () => {
    fc.assert(
      fc.property(randomParts, fc.array(fc.integer({ min: 1, max: 4 })), (parts, sizes) => {
        const whole = wholeOf([parts])
        expect(Check(MessageObject, whole)).toBe(true)
        const events = streamOf(grouped(parts, sizes))
        expect(events.filter((event) => !Check(MessageStreamEvent, event))).toEqual([])
        expect(accumulate(events)).toEqual(whole.content.map(withoutId))
        expect([events[0]?.type, events.at(-2)?.type, events.at(-1)?.type]).toEqual(['message_start', 'message_delta', 'message_stop'])
        // One block is open at a time, and they are counted from 0.
        const inside = events.slice(1, -2)
        const blocks = inside.filter(({ type }) => type === 'content_block_start')
        expect(blocks.map(({ index }) => index)).toEqual(blocks.map((_, index) => index))
        let open: number | undefined
        for (const { type, index } of inside) {
          expect(open).toBe(type === 'content_block_start' ? undefined : index)
          open = type === 'content_block_stop' ? undefined : index
        }
        expect(open).toBeUndefined()
      }),
    )
  })

  test("that fails in the middle ends with an error of the API's shape", () => {
    const exchange = recordingExchange()
    exchange.errors = messagesErrors
    const answer = parseMessagesRequest({ ...base, stream: true }).answer(exchange)
    answer.start([{ text: '', tokens: 3 }])
    void answer.parts(0, [text], [])
    exchange.fail(new ServiceError('UNAVAILABLE', 'engine_failed', 'The model failed.'))
    const last = exchange.events().at(-1)
    expect(last).toEqual({ type: 'error', error: { type: 'overloaded_error', message: 'The model failed.' }, request_id: exchange.requestId })
    expect(Check(MessageStreamEvent, last)).toBe(true)
  })

  test('waits for a client that does not keep up', async () => {
    const exchange = recordingExchange()
    const answer = parseMessagesRequest({ ...base, stream: true }).answer(exchange)
    answer.start([{ text: '', tokens: 3 }])
    const drained = Promise.resolve()
    exchange.write = () => drained
    expect(answer.parts(0, [text], [])).toBe(drained)
    expect(answer.endChoice(0, stop)).toBe(drained)
    await drained
  })
})

describe('a message', () => {
  test.each([
    [stop, limit, 'end_turn', null],
    [{ finishReason: 'stop', stopSequence: 'END' }, limit, 'stop_sequence', 'END'],
    [{ finishReason: 'length', stopSequence: undefined }, limit, 'max_tokens', null],
    [{ finishReason: 'length', stopSequence: undefined }, limit - 1, 'model_context_window_exceeded', null],
    [{ finishReason: 'tool_calls', stopSequence: undefined }, limit, 'tool_use', null],
  ] as const)('tells why it ended: %j after %i tokens', (end, output, stopReason, stopSequence) => {
    const tokens = { ...used, output }
    const told = { stop_reason: stopReason, stop_sequence: stopSequence }
    expect(wholeOf([[text]], end, {}, tokens)).toMatchObject(told)
    expect(streamOf([[text]], end, {}, tokens).at(-2)?.delta).toMatchObject(told)
  })

  test('tells the tokens, those of the thinking too', () => {
    const tokens = { input: 3, cached: 0, output: 5, reasoning: 2 }
    const usage = { input_tokens: 3, output_tokens: 5, output_tokens_details: { thinking_tokens: 2 }, cache_read_input_tokens: 0 }
    expect(wholeOf([[text]], stop, {}, tokens)).toMatchObject({ usage })
    expect(streamOf([[text]], stop, {}, tokens).at(-2)).toMatchObject({ usage })
  })

  test.each([
    ['{"id":12345678901234567890,"x":1e400}', '{"id":12345678901234567890,"x":1e400}'],
    ['{\n  "a": "}"\n}\n', '{\n  "a": "}"\n}\n'],
    // Cut by the limit, or no object.
    ['{"a": ', '{}'],
    ['', '{}'],
    ['[1]', '{}'],
    ['null', '{}'],
  ])('has the input of a call as the model wrote it: %j', (written, told) => {
    expect(play([called(written)], stop, {}).text).toContain(`"input":${told}}]`)
    expect(wholeOf([called(written)]).content).toMatchObject([{ type: 'tool_use', name: 'f', input: JSON.parse(told) as object }])
  })

  test('has ids of its own for calls', () => {
    const { content } = wholeOf([[...called('{}'), { kind: 'tool_call', index: 1, name: 'g' }]])
    expect(new Set(content.map(({ id }) => id)).size).toBe(2)
    expect(content.every(({ id }) => /^toolu_[0-9a-f]{24}$/.test(id ?? ''))).toBe(true)
  })

  test('has no thinking where the client wants none of it', () => {
    const body = { thinking: { type: 'adaptive', display: 'omitted' } }
    expect(wholeOf([[reasoning, text]], stop, body).content).toMatchObject([{ type: 'text', text: 'a' }])
    expect(accumulate(streamOf([[reasoning], [reasoning, text]], stop, body))).toMatchObject([{ type: 'text', text: 'a' }])
    expect(wholeOf([[reasoning, text]], stop, { thinking: { type: 'adaptive', display: 'summarized' } }).content).toHaveLength(2)
  })

  test("has its id as Anthropic's clients look for it", () => {
    const exchange = recordingExchange()
    const headers = new Map<string, string>()
    exchange.header = (name, value) => void headers.set(name, value)
    parseMessagesRequest(base).answer(exchange)
    expect(headers.get('request-id')).toBe(exchange.requestId)
  })
})

test.each([
  [new ServiceError('UNAUTHENTICATED', 'invalid_api_key', 'm'), 'authentication_error'],
  [new ServiceError('NOT_FOUND', 'model_not_found', 'm'), 'not_found_error'],
  [new ServiceError('RESOURCE_EXHAUSTED', 'queue_full', 'm'), 'rate_limit_error'],
  [new ServiceError('UNAVAILABLE', 'no_worker', 'm'), 'overloaded_error'],
  [new ServiceError('DEADLINE_EXCEEDED', 'request_timed_out', 'm'), 'timeout_error'],
  [new ServiceError('INVALID_ARGUMENT', 'body_too_large', 'm'), 'request_too_large'],
  [new ServiceError('INVALID_ARGUMENT', 'method_not_allowed', 'm'), 'invalid_request_error'],
  [new ServiceError('INTERNAL', 'internal_error', 'm'), 'api_error'],
  [new ServiceError('INVALID_ARGUMENT', 'invalid_value', 'm'), 'invalid_request_error'],
])("errors have Anthropic's shape: %s, %s", (error, type) => {
  const body: unknown = JSON.parse(messagesErrors.body(error, 'r'))
  expect(Check(MessagesError, body)).toBe(true)
  expect(body).toEqual({ type: 'error', error: { type, message: 'm' }, request_id: 'r' })
})
