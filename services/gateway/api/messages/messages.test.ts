import fc from 'fast-check'
import { Check } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { ToolChoice } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import { ServiceError } from '../../../shared/errors.ts'
import type { ChoiceEnd } from '../../generation.ts'
import { grouped, randomParts } from '../../test-support/random-parts.ts'
import { recordingExchange } from '../../test-support/recording-exchange.ts'
import { messagesErrors } from './errors.ts'
import { parseCountTokens, parseMessagesRequest } from './request.ts'
import { MessageObject, MessagesError, MessageStreamEvent } from './response.ts'

const messages = [{ role: 'user', content: 'hi' }]
const base = { model: 'm', max_tokens: 9, messages }
const tool = { name: 'f', input_schema: { type: 'object' } }
const used = { input: 3, output: 5, reasoning: 0 }

function refusal(body: unknown): ServiceError {
  try {
    parseMessagesRequest(body)
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown
    throw thrown
  }
  throw new Error('it was taken')
}

function conversationOf(body: object) {
  const { prompt } = parseMessagesRequest({ ...base, ...body }).generation
  if (prompt.$case !== 'conversation') throw new Error('no conversation')
  return prompt.value
}

describe('a request', () => {
  test('takes blocks of every kind, results of tools as messages of their own', () => {
    const given = [
      { role: 'user', content: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }, { type: 'text', text: 'b' }] },
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: '' }, { type: 'redacted_thinking', data: 'x' }, { type: 'text', text: 'c' }, { type: 'tool_use', id: 't1', name: 'f', input: { x: 1 } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', is_error: true, content: [{ type: 'text', text: 'r' }] }, { type: 'text', text: 'd' }] },
    ]
    expect(conversationOf({ messages: given, system: [{ type: 'text', text: 'S' }] }).messages).toMatchObject([
      { role: 'system', content: 'S' },
      { role: 'user', content: 'ab' },
      { role: 'assistant', content: 'c', reasoning: 'hm', toolCalls: [{ id: 't1', name: 'f', arguments: '{"x":1}' }] },
      { role: 'tool', content: 'Error: r', toolCallId: 't1', name: 'f' },
      { role: 'user', content: 'd' },
    ])
    expect(parseMessagesRequest({ ...base, messages: given }).unknown).toEqual([])
  })

  test('takes tools, thinking and sampling', () => {
    const body = { tools: [tool], tool_choice: { type: 'tool', name: 'f', disable_parallel_tool_use: true }, thinking: { type: 'enabled', budget_tokens: 1024 }, output_config: { effort: 'low' } }
    expect(conversationOf(body)).toMatchObject({
      tools: [{ name: 'f', param: 'tools[0].input_schema' }],
      toolChoice: ToolChoice.NAMED,
      toolName: 'f',
      singleToolCall: true,
      reasoning: true,
      reasoningBudget: 1024,
      reasoningEffort: 'low',
    })
    expect(conversationOf({ tools: [tool], tool_choice: { type: 'any' } }).toolChoice).toBe(ToolChoice.REQUIRED)
    expect(conversationOf({ thinking: { type: 'disabled' } }).reasoning).toBe(false)
    expect(parseMessagesRequest({ ...base, temperature: 0.5, top_k: 3, top_p: 0.9, stop_sequences: ['x'], stream: true }).generation).toMatchObject({
      maxTokens: 9,
      stop: ['x'],
      stream: true,
      sampling: { temperature: 0.5, topK: 3, topP: 0.9 },
    })
    expect(parseCountTokens({ model: 'm', messages, tools: [tool] }).generation.prompt.$case).toBe('conversation')
  })

  test.each([
    [{ model: 'm', messages }, 'max_tokens'],
    [{ ...base, messages: [] }, 'messages'],
    [{ ...base, messages: [...messages, { role: 'assistant', content: 'I' }] }, 'messages[1]'],
    [{ ...base, messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] }, 'messages[0].content'],
    [{ ...base, messages: [{ role: 'user', content: [{ type: 'tool_use', id: 'x', name: 'f', input: {} }] }] }, 'messages[0].content[0]'],
    [{ ...base, messages: [{ role: 'assistant', content: [{ type: 'tool_result', tool_use_id: 'x' }] }, ...messages] }, 'messages[0].content[0]'],
    [{ ...base, tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0]'],
    [{ ...base, tool_choice: { type: 'any' } }, 'tool_choice'],
    [{ ...base, mcp_servers: [{ url: 'x' }] }, 'mcp_servers'],
    [{ ...base, speed: 'fast' }, 'speed'],
  ])('is refused with its place: %j', (body, param) => {
    const error = refusal(body)
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.param?.startsWith(param)).toBe(true)
  })
})

interface StreamEvent {
  type: string
  index: number
  message: { content: Block[] }
  content_block: Block
  delta: { type: string; text: string; thinking: string; partial_json: string; stop_reason: string; stop_sequence: string }
}

interface Block {
  type: string
  text?: string
  thinking?: string
  input?: unknown
  id?: string
}

function play(groups: readonly OutputPart[][], end: ChoiceEnd, stream: boolean) {
  const exchange = recordingExchange()
  const answer = parseMessagesRequest({ ...base, stream }).answer(exchange)
  answer.start([{ text: '', tokens: 3 }])
  for (const parts of groups) void answer.parts(0, parts, [])
  void answer.endChoice(0, end)
  answer.finish(used)
  return exchange
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

const stop: ChoiceEnd = { finishReason: 'stop', stopSequence: undefined }

describe('an answer', () => {
  test('is the same whole and streamed, whatever pieces it comes in', () => {
    fc.assert(
      fc.property(randomParts, fc.array(fc.integer({ min: 1, max: 4 })), (parts, sizes) => {
        const whole = play([parts], stop, false).whole() as { content: Block[] }
        expect(Check(MessageObject, whole)).toBe(true)
        const events = play(grouped(parts, sizes), stop, true).events() as StreamEvent[]
        expect(events.filter((event) => !Check(MessageStreamEvent, event))).toEqual([])
        expect(accumulate(events)).toEqual(whole.content.map(withoutId))
        expect([events[0]?.type, events.at(-2)?.type, events.at(-1)?.type]).toEqual(['message_start', 'message_delta', 'message_stop'])
      }),
    )
  })

  test.each([
    [{ finishReason: 'stop', stopSequence: undefined }, 'end_turn', null],
    [{ finishReason: 'stop', stopSequence: 'END' }, 'stop_sequence', 'END'],
    [{ finishReason: 'length', stopSequence: undefined }, 'max_tokens', null],
    [{ finishReason: 'tool_calls', stopSequence: undefined }, 'tool_use', null],
  ] as const)('tells why it ended: %j', (end, stopReason, stopSequence) => {
    const parts: OutputPart[] = [{ kind: 'text', text: 'a' }]
    expect(play([parts], end, false).whole()).toMatchObject({ stop_reason: stopReason, stop_sequence: stopSequence })
    expect((play([parts], end, true).events() as StreamEvent[]).at(-2)?.delta).toMatchObject({ stop_reason: stopReason, stop_sequence: stopSequence })
  })

  test('leaves reasoning out where the client wants none of it', () => {
    const exchange = recordingExchange()
    const answer = parseMessagesRequest({ ...base, thinking: { type: 'adaptive', display: 'omitted' } }).answer(exchange)
    answer.start([{ text: '', tokens: 3 }])
    void answer.parts(0, [{ kind: 'reasoning', text: 'hm' }, { kind: 'text', text: 'a' }], [])
    void answer.endChoice(0, stop)
    answer.finish(used)
    expect(exchange.whole()).toMatchObject({ content: [{ type: 'text', text: 'a' }] })
  })
})

test.each([
  [new ServiceError('UNAUTHENTICATED', 'invalid_api_key', 'm'), 'authentication_error'],
  [new ServiceError('NOT_FOUND', 'model_not_found', 'm'), 'not_found_error'],
  [new ServiceError('RESOURCE_EXHAUSTED', 'queue_full', 'm'), 'rate_limit_error'],
  [new ServiceError('UNAVAILABLE', 'no_worker', 'm'), 'overloaded_error'],
  [new ServiceError('INTERNAL', 'internal_error', 'm'), 'api_error'],
  [new ServiceError('INVALID_ARGUMENT', 'invalid_value', 'm'), 'invalid_request_error'],
])("errors have Anthropic's shape: %s", (error, type) => {
  const body: unknown = JSON.parse(messagesErrors.body(error, 'r'))
  expect(Check(MessagesError, body)).toBe(true)
  expect(body).toEqual({ type: 'error', error: { type, message: 'm' }, request_id: 'r' })
})
