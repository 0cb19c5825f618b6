import { describe, expect, test } from 'vitest'
import { Check } from 'typebox/value'
import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../../../shared/errors.ts'
import { recordingExchange } from '../../test-support/recording-exchange.ts'
import { completionLogprobs } from './logprobs.ts'
import { parseCompletionRequest } from './request.ts'
import { Completion } from './response.ts'

const base = { model: 'm', prompt: 'Once' }
const used = { input: 1, cached: 0, output: 2, reasoning: 0 }

function logprob(text: string | Buffer, value: number): TokenLogprob {
  const token = { token: 1, text: Buffer.from(text), logprob: value }
  return { token, top: [token] }
}

describe('a completion request', () => {
  test('takes the defaults of the API', () => {
    expect(parseCompletionRequest(base).generation).toMatchObject({ maxTokens: 16, choices: 1, prompt: { $case: 'text', value: { text: 'Once' } }, topLogprobs: undefined })
  })

  test.each([
    [['a', 'b'], [{ $case: 'text', value: { text: 'a' } }, { $case: 'text', value: { text: 'b' } }]],
    [[1, 2], [{ $case: 'tokens', value: { ids: [1, 2] } }]],
    [[[1], [2, 3]], [{ $case: 'tokens', value: { ids: [1] } }, { $case: 'tokens', value: { ids: [2, 3] } }]],
    ['', [{ $case: 'text', value: { text: '' } }]],
  ])('takes a prompt as %j', (prompt, expected) => {
    const { generation } = parseCompletionRequest({ ...base, prompt })
    expect([generation.prompt, ...(generation.furtherPrompts ?? [])]).toEqual(expected)
  })

  test('ranks by log-probabilities, even when the client wants none', () => {
    expect(parseCompletionRequest({ ...base, best_of: 3 }).generation).toMatchObject({ choices: 3, topLogprobs: 0 })
    expect(parseCompletionRequest({ ...base, suffix: 'end' }).generation.prompt).toEqual({ $case: 'text', value: { text: 'Once', suffix: 'end' } })
  })

  test.each([
    [{ model: 'm' }, 'prompt'],
    [{ ...base, prompt: [] }, 'prompt'],
    [{ ...base, prompt: ['a', 1] }, 'prompt'],
    [{ ...base, n: 2, best_of: 1 }, 'best_of'],
    [{ ...base, best_of: 2, stream: true }, 'best_of'],
    [{ ...base, prompt: Array.from({ length: 33 }, () => 'a'), n: 2 }, 'n'],
    [{ ...base, echo: true, logprobs: 1 }, 'logprobs'],
    [{ ...base, prompt: [1], suffix: 'x' }, 'suffix'],
    [{ ...base, max_tokens: 0 }, 'max_tokens'],
    [{ ...base, stream_options: {} }, 'stream_options'],
  ])('is refused with its parameter: %j', (body, param) => {
    let thrown: unknown
    try {
      parseCompletionRequest(body)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(ServiceError)
    expect((thrown as ServiceError).param?.startsWith(param)).toBe(true)
  })
})

describe('a completion', () => {
  test('gives the likeliest of best_of, with the prompt before it when asked', () => {
    const exchange = recordingExchange()
    const answer = parseCompletionRequest({ ...base, prompt: ['P', 'Q'], n: 1, best_of: 2, echo: true }).answer(exchange)
    answer.start([{ text: 'P', tokens: 1 }, { text: 'Q', tokens: 1 }])
    for (const [choice, text, value] of [[0, 'worse', -2], [1, 'better', -1], [2, 'best', -0.1], [3, 'bad', -3]] as const) {
      void answer.parts(choice, [{ kind: 'text', text }], [logprob(text, value)])
      void answer.endChoice(choice, { finishReason: 'length', stopSequence: undefined })
    }
    answer.finish(used)
    expect(Check(Completion, exchange.whole())).toBe(true)
    expect(exchange.whole()).toMatchObject({ choices: [{ index: 0, text: 'Pbetter', logprobs: null }, { index: 1, text: 'Qbest', finish_reason: 'length' }], usage: { total_tokens: 3 } })
  })

  test('streams with offsets that go on', () => {
    const exchange = recordingExchange()
    const answer = parseCompletionRequest({ ...base, stream: true, logprobs: 0, stream_options: { include_usage: true } }).answer(exchange)
    answer.start([{ text: '', tokens: 1 }])
    void answer.parts(0, [{ kind: 'text', text: 'ab' }], [logprob('ab', -1)])
    void answer.parts(0, [{ kind: 'text', text: 'c' }], [logprob('c', -1)])
    void answer.endChoice(0, { finishReason: 'stop', stopSequence: undefined })
    answer.finish(used)
    const events = exchange.events()
    expect(events.slice(0, -1).filter((event) => !Check(Completion, event))).toEqual([])
    expect(events).toMatchObject([
      { choices: [{ text: 'ab', logprobs: { tokens: ['ab'], text_offset: [0] } }] },
      { choices: [{ text: 'c', logprobs: { text_offset: [2] } }] },
      { choices: [{ text: '', finish_reason: 'stop' }] },
      { choices: [], usage: { completion_tokens: 2 } },
      '[DONE]',
    ])
  })

  test('log-probabilities of the parts of a character have its place', () => {
    const [first, second] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)]
    expect(completionLogprobs([logprob(first, -1), logprob(second, -1), logprob('x', -1)], 4).text_offset).toEqual([4, 4, 5])
  })
})
