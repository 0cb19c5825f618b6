import { describe, expect, test } from 'vitest'
import { Check } from 'typebox/value'
import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { Generation } from '../../generation.ts'
import { recordingExchange } from '../../test-support/recording-exchange.ts'
import { chatAnswer } from './answer.ts'
import { parseChatRequest } from './request.ts'
import { ChatCompletion, ChatCompletionChunk } from './response.ts'

const used = { input: 3, cached: 0, output: 5, reasoning: 1 }

function generation(extra: object): Generation {
  return parseChatRequest({ model: 'm', messages: [{ role: 'user', content: 'hi' }], ...extra }).generation
}

function logprob(text: string): TokenLogprob {
  const token = { token: 1, text: Buffer.from(text), logprob: -0.5 }
  return { token, top: [token, { token: 2, text: Buffer.from([0xc3]), logprob: Number.NEGATIVE_INFINITY }] }
}

function play(extra: object, includeUsage = false) {
  const exchange = recordingExchange()
  const answer = chatAnswer(exchange, generation(extra), includeUsage)
  answer.start([{ text: '', tokens: 3 }])
  void answer.parts(0, [{ kind: 'reasoning', text: 'hm' }], [])
  void answer.parts(0, [{ kind: 'text', text: 'a"\u2028' }, { kind: 'tool_call', index: 0, name: 'f' }], [logprob('é')])
  void answer.parts(0, [{ kind: 'tool_arguments', index: 0, text: '{"x":' }], [])
  void answer.parts(0, [{ kind: 'tool_arguments', index: 0, text: '1}' }, { kind: 'tool_call', index: 1, name: 'g' }, { kind: 'tool_arguments', index: 1, text: '{}' }], [])
  void answer.endChoice(0, { finishReason: 'tool_calls', stopSequence: undefined })
  answer.finish(used)
  return exchange
}

describe('a chat completion', () => {
  test('as a whole', () => {
    const body = play({ logprobs: true, top_logprobs: 2 }).whole()
    expect(Check(ChatCompletion, body)).toBe(true)
    expect(body).toMatchObject({
      id: 'chatcmpl-11111111222233334444555555555555',
      choices: [
        {
          finish_reason: 'tool_calls',
          message: {
            content: 'a"\u2028',
            reasoning_content: 'hm',
            tool_calls: [{ function: { name: 'f', arguments: '{"x":1}' } }, { function: { name: 'g', arguments: '{}' } }],
          },
          logprobs: { content: [{ token: 'é', bytes: [0xc3, 0xa9], logprob: -0.5, top_logprobs: [{ token: 'é' }, { token: '\uFFFD', bytes: [0xc3], logprob: -9999 }] }] },
        },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8, completion_tokens_details: { reasoning_tokens: 1 } },
    })
  })

  test('as a stream, whose pieces make the same', () => {
    const exchange = play({ stream: true }, true)
    const events = exchange.events()
    expect(events.at(-1)).toBe('[DONE]')
    const chunks = events.slice(0, -1)
    expect(chunks.filter((chunk) => !Check(ChatCompletionChunk, chunk))).toEqual([])
    const deltas = chunks.map((chunk) => (chunk as { choices: { delta: Record<string, unknown> }[] }).choices[0]?.delta)
    expect(deltas[0]).toEqual({ role: 'assistant', content: '', refusal: null })
    expect(deltas.slice(1, 9)).toMatchObject([
      { reasoning_content: 'hm' },
      { content: 'a"\u2028' },
      { tool_calls: [{ index: 0, type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '1}' } }] },
      { tool_calls: [{ index: 1, function: { name: 'g' } }] },
      { tool_calls: [{ index: 1, function: { arguments: '{}' } }] },
      {},
    ])
    expect(chunks.at(-2)).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }], usage: null })
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 8 } })
    expect(exchange.ended).toBe(true)
  })

  test('keeps its choices apart, each with its own beginning', () => {
    const exchange = recordingExchange()
    const answer = chatAnswer(exchange, generation({ n: 2, stream: true }), false)
    answer.start([{ text: '', tokens: 3 }])
    void answer.parts(1, [{ kind: 'text', text: 'b' }], [])
    void answer.parts(0, [{ kind: 'text', text: 'a' }], [])
    void answer.endChoice(1, { finishReason: 'length', stopSequence: undefined })
    void answer.endChoice(0, { finishReason: 'stop', stopSequence: undefined })
    answer.finish(used)
    const choices = exchange.events().slice(0, -1).map((chunk) => (chunk as { choices: { index: number; delta: { content?: string }; finish_reason: string | null }[] }).choices[0])
    expect(choices.map((choice) => [choice?.index, choice?.delta.content, choice?.finish_reason])).toEqual([
      [1, '', null],
      [1, 'b', null],
      [0, '', null],
      [0, 'a', null],
      [1, undefined, 'length'],
      [0, undefined, 'stop'],
    ])
  })
})
