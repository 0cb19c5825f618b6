import fc from 'fast-check'
import { Check } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { ToolChoice } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import { ServiceError } from '../../../shared/errors.ts'
import type { ChoiceEnd } from '../../generation.ts'
import { grouped, randomParts } from '../../test-support/random-parts.ts'
import { recordingExchange } from '../../test-support/recording-exchange.ts'
import { parseResponsesRequest } from './request.ts'
import { ResponseObject, ResponseStreamEvent } from './response.ts'

const base = { model: 'm', input: 'hi' }
const tool = { type: 'function', name: 'f', parameters: { type: 'object' }, strict: true }
const used = { input: 3, output: 5, reasoning: 1 }

function refusal(body: unknown): ServiceError {
  try {
    parseResponsesRequest(body)
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown
    throw thrown
  }
  throw new Error('it was taken')
}

function conversationOf(body: object) {
  const { prompt } = parseResponsesRequest({ ...base, ...body }).generation
  if (prompt.$case !== 'conversation') throw new Error('no conversation')
  return prompt.value
}

describe('a request', () => {
  test('takes a text, with instructions before it', () => {
    expect(conversationOf({ instructions: 'Be brief.' }).messages).toMatchObject([{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'hi' }])
  })

  test('takes the items of a conversation, those of one turn as one message', () => {
    const input = [
      { role: 'user', content: [{ type: 'input_text', text: 'a' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }] },
      { type: 'message', role: 'assistant', id: 'msg_1', status: 'completed', content: [{ type: 'output_text', text: 'b', annotations: [] }] },
      { type: 'function_call', id: 'fc_1', call_id: 'c1', name: 'f', arguments: '{}' },
      { type: 'function_call', call_id: 'c2', name: 'g', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: 'r' },
      { role: 'assistant', content: 'c' },
      { role: 'assistant', content: 'd' },
    ]
    expect(conversationOf({ input }).messages).toMatchObject([
      { role: 'user', content: 'a' },
      { role: 'assistant', reasoning: 'hm', content: 'b', toolCalls: [{ id: 'c1', name: 'f' }, { id: 'c2', name: 'g' }] },
      { role: 'tool', toolCallId: 'c1', name: 'f', content: 'r' },
      { role: 'assistant', content: 'c' },
      { role: 'assistant', content: 'd' },
    ])
    expect(parseResponsesRequest({ ...base, input }).unknown).toEqual([])
  })

  test('takes tools, formats, reasoning and limits', () => {
    const body = {
      tools: [tool],
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' } } },
      reasoning: { effort: 'high' },
      max_output_tokens: 9,
      include: ['message.output_text.logprobs'],
      top_logprobs: 2,
      stream: true,
      odd: 1,
    }
    expect(conversationOf(body)).toMatchObject({ tools: [{ name: 'f', strict: true, param: 'tools[0].parameters' }], toolChoice: ToolChoice.NAMED, toolName: 'f', singleToolCall: true, reasoning: true, reasoningEffort: 'high' })
    const { generation, unknown } = parseResponsesRequest({ ...base, ...body })
    expect(generation).toMatchObject({ maxTokens: 9, topLogprobs: 2, stream: true, format: { param: 'text.format.schema' } })
    expect(unknown).toEqual(['odd'])
  })

  test.each([
    [{ model: 'm' }, 'input'],
    [{ ...base, input: [] }, 'input'],
    [{ ...base, input: [{ type: 'item_reference', id: 'x' }] }, 'input[0]'],
    [{ ...base, input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] }, 'input[0]'],
    [{ ...base, previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ ...base, conversation: 'conv_1' }, 'conversation'],
    [{ ...base, store: true }, 'store'],
    [{ ...base, background: true }, 'background'],
    [{ ...base, truncation: 'auto' }, 'truncation'],
    [{ ...base, tools: [{ type: 'web_search' }] }, 'tools[0]'],
    [{ ...base, tool_choice: 'required' }, 'tool_choice'],
    [{ ...base, tools: [tool], tool_choice: { type: 'function', name: 'g' } }, 'tool_choice.name'],
    [{ ...base, max_output_tokens: 0 }, 'max_output_tokens'],
  ])('is refused with its parameter: %j', (body, param) => {
    const error = refusal(body)
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.param?.startsWith(param)).toBe(true)
  })
})

interface StreamEvent {
  type: string
  sequence_number: number
  response?: { output: unknown[] }
}

function play(groups: readonly OutputPart[][], finishReason: ChoiceEnd['finishReason'], stream: boolean) {
  const exchange = recordingExchange()
  const answer = parseResponsesRequest({ ...base, stream }).answer(exchange)
  answer.start([{ text: '', tokens: 3 }])
  for (const parts of groups) void answer.parts(0, parts, [])
  void answer.endChoice(0, { finishReason, stopSequence: undefined })
  answer.finish(used)
  return exchange
}

/** Ids and times are another each time. */
function withoutIds(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (name, inner: unknown) => (['id', 'call_id', 'item_id', 'created_at', 'completed_at'].includes(name) ? undefined : inner)))
}

describe('an answer', () => {
  test('streams in the order of the API, numbered without gaps, in its shapes', () => {
    const exchange = play([[{ kind: 'reasoning', text: 'hm' }], [{ kind: 'text', text: 'a' }], [{ kind: 'tool_call', index: 0, name: 'f' }, { kind: 'tool_arguments', index: 0, text: '{}' }]], 'tool_calls', true)
    const events = exchange.events() as StreamEvent[]
    expect(events.map(({ type }) => type.replace('response.', ''))).toEqual(
      [
        ['created', 'in_progress'],
        ['output_item.added', 'content_part.added', 'reasoning_text.delta', 'reasoning_text.done', 'content_part.done', 'output_item.done'],
        ['output_item.added', 'content_part.added', 'output_text.delta', 'output_text.done', 'content_part.done', 'output_item.done'],
        ['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.done', 'output_item.done'],
        ['completed'],
      ].flat(),
    )
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index))
    expect(events.filter((event) => !Check(ResponseStreamEvent, event))).toEqual([])
    expect(exchange.ended).toBe(true)
  })

  test('is the same whole and at the end of its stream, whatever pieces it comes in', () => {
    fc.assert(
      fc.property(randomParts, fc.array(fc.integer({ min: 1, max: 4 })), fc.constantFrom('stop' as const, 'length' as const), (parts, sizes, finishReason) => {
        const whole = play([parts], finishReason, false).whole()
        expect(Check(ResponseObject, whole)).toBe(true)
        const events = play(grouped(parts, sizes), finishReason, true).events() as StreamEvent[]
        expect(withoutIds(events.at(-1)?.response)).toEqual(withoutIds(whole))
        expect(events.filter((event) => !Check(ResponseStreamEvent, event))).toEqual([])
      }),
    )
  })

  test('that fails in the middle ends with an error of the next number', () => {
    const exchange = recordingExchange()
    const answer = parseResponsesRequest({ ...base, stream: true }).answer(exchange)
    answer.start([{ text: '', tokens: 3 }])
    void answer.parts(0, [{ kind: 'text', text: 'a' }], [])
    exchange.fail(new ServiceError('UNAVAILABLE', 'engine_failed', 'The model failed.'))
    const events = exchange.events() as StreamEvent[]
    expect(events.at(-1)).toEqual({ type: 'error', sequence_number: events.length - 1, code: 'engine_failed', message: 'The model failed.', param: null })
  })
})
