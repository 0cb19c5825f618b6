import { describe, expect, test } from 'vitest'
import { problemsOf } from './validator.ts'

const completion = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello', refusal: null }, logprobs: null, finish_reason: 'stop' }],
}

describe('the schemas made of the clients’ types', () => {
  test('take what the API answers', () => {
    expect(problemsOf('ChatCompletion', completion)).toEqual([])
    expect(problemsOf('ResponseStreamEvent', { type: 'response.output_text.done', content_index: 0, item_id: 'a', logprobs: [], output_index: 0, sequence_number: 1, text: '' })).toEqual([])
    expect(problemsOf('ErrorResponse', { type: 'error', error: { type: 'not_found_error', message: '' }, request_id: null })).toEqual([])
  })

  test('tell what is missing, too much or of a wrong kind, and where', () => {
    const { id: _, ...withoutId } = completion
    expect(problemsOf('ChatCompletion', withoutId)).toEqual([expect.stringContaining("must have required property 'id'")])
    expect(problemsOf('ChatCompletion', { ...completion, extra: 1 })).toEqual([expect.stringContaining('"additionalProperty":"extra"')])
    expect(problemsOf('ChatCompletion', { ...completion, choices: [{ ...completion.choices[0], finish_reason: 'eos' }] })).toEqual([expect.stringContaining('/choices/0/finish_reason')])
  })

  test('tell a problem of the event that was meant alone', () => {
    const event = { type: 'response.output_text.delta', content_index: 0, delta: 'a', item_id: 'a', logprobs: [], output_index: 0 }
    expect(problemsOf('ResponseStreamEvent', event)).toEqual([expect.stringContaining("must have required property 'sequence_number'")])
    expect(problemsOf('ResponseStreamEvent', { type: 'response.unknown' })).toEqual([expect.stringContaining('value of tag "type" must be in oneOf')])
    expect(problemsOf('RawMessageStreamEvent', { type: 'content_block_stop' })).toEqual([expect.stringContaining("must have required property 'index'")])
  })
})
