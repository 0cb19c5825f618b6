import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ServiceError } from '../../shared/errors.ts'
import { parseChatRequest } from './chat-request.ts'
import { parseJson } from './validation.ts'

const messages = [{ role: 'user', content: 'hi' }]
const base = { model: 'm', messages }

function refusal(body: unknown): ServiceError {
  try {
    parseChatRequest(body)
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown
    throw thrown
  }
  throw new Error('it was taken')
}

describe('a chat request', () => {
  test('takes the defaults of the API', () => {
    expect(parseChatRequest(base)).toEqual({
      model: 'm',
      messages,
      temperature: 1,
      topP: 1,
      maxTokens: 0,
      stop: [],
      seed: undefined,
      stream: false,
      includeUsage: false,
      ignored: [],
    })
  })

  test('takes every parameter it has, nulls as absent, parts as text', () => {
    const body = {
      ...base,
      messages: [{ role: 'developer', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }], name: 'x' }],
      temperature: 0,
      top_p: 0.5,
      max_completion_tokens: 7,
      max_tokens: null,
      stop: 'END',
      seed: -1,
      stream: true,
      stream_options: { include_usage: true },
    }
    expect(parseChatRequest(body)).toMatchObject({ messages: [{ role: 'developer', content: 'ab' }], temperature: 0, topP: 0.5, maxTokens: 7, stop: ['END'], stream: true, includeUsage: true })
  })

  test.each([
    [{ messages }, 'model'],
    [{ model: 'm' }, 'messages'],
    [{ ...base, model: 5 }, 'model'],
    [{ ...base, model: '' }, 'model'],
    [{ ...base, messages: [] }, 'messages'],
    [{ ...base, messages: 'hi' }, 'messages'],
    [{ ...base, messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role'],
    [{ ...base, messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ ...base, messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
    [{ ...base, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }, 'messages[0].content[0].type'],
    [{ ...base, temperature: 'hot' }, 'temperature'],
    [{ ...base, temperature: 2.1 }, 'temperature'],
    [{ ...base, top_p: -1 }, 'top_p'],
    [{ ...base, max_tokens: 0 }, 'max_tokens'],
    [{ ...base, max_tokens: 1e300 }, 'max_tokens'],
    [{ ...base, stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
    [{ ...base, seed: 1.5 }, 'seed'],
    [{ ...base, stream: 'yes' }, 'stream'],
    [{ ...base, stream_options: { include_usage: true } }, 'stream_options'],
    [{ ...base, n: 2 }, 'n'],
    [{ ...base, tools: [{ type: 'function' }] }, 'tools'],
    [{ ...base, response_format: { type: 'json_object' } }, 'response_format'],
    [{ ...base, logprobs: true }, 'logprobs'],
  ])('is refused with its parameter: %j', (body, param) => {
    expect(refusal(body)).toMatchObject({ code: 'INVALID_ARGUMENT', param })
  })

  test('tells what is allowed and what type was sent, but no value', () => {
    expect(refusal({ ...base, temperature: 'canary' }).message).toBe(`Invalid value for 'temperature': it must be a number from 0 to 2 or null, but a string was sent.`)
    expect(refusal('canary').message).toBe('The body must be an object, but it is a string.')
  })

  test('takes parameters that ask for nothing, and names those that it does not know', () => {
    const parsed = parseChatRequest({ ...base, n: 1, presence_penalty: 0, tools: [], response_format: { type: 'text' }, user: 'u', store: false, mystery: 1, 'bad name\r\n': 2 })
    expect(parsed.ignored).toEqual(['mystery', 'bad%20name%0D%0A'])
  })

  test('gives any seed 32 bits', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (seed) => {
        const folded = parseChatRequest({ ...base, seed }).seed ?? -1
        expect(Number.isInteger(folded) && folded >= 0 && folded < 2 ** 32).toBe(true)
      }),
    )
    expect(parseChatRequest({ ...base, seed: 42 }).seed).toBe(42)
  })

  test('is parsed or refused as INVALID_ARGUMENT, whatever JSON comes, and no string of it is in the error', () => {
    const canary = 'c4n4ry'
    const value = fc.anything({ values: [fc.constant(canary), fc.integer(), fc.double(), fc.boolean(), fc.constant(null)], key: fc.constantFrom(...Object.keys({ ...base, stop: 1, seed: 1, role: 1, content: 1, stream: 1, tools: 1 })) })
    fc.assert(
      fc.property(value, (json) => {
        try {
          parseChatRequest(json)
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ServiceError)
          expect((thrown as ServiceError).code).toBe('INVALID_ARGUMENT')
          expect(String(thrown)).not.toContain(canary)
        }
      }),
    )
  })
})

describe('a body', () => {
  test.each([
    ['{"model": "canary', 'character 17'],
    ['', 'empty'],
    ['{"a": canary}', 'malformed'],
  ])('that is not JSON is refused with its place only: %j', (text, where) => {
    expect(() => parseJson(Buffer.from(text))).toThrow(where)
    expect(() => parseJson(Buffer.from(text))).not.toThrow('canary')
  })

  test('that is not UTF-8 is refused', () => {
    expect(() => parseJson(Buffer.from([0x22, 0xff, 0xfe, 0x22]))).toThrow('UTF-8')
  })

  test('nested deeply neither crashes nor passes', () => {
    expect(() => parseChatRequest(parseJson(Buffer.from(`${'['.repeat(200_000)}${']'.repeat(200_000)}`)))).toThrow(ServiceError)
  })
})
