import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import type { PrepareRequest } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { createMetrics } from './metrics.ts'
import type { ServedModel } from './model.ts'
import { createPrepare } from './prepare.ts'

const call: CallContext = { requestId: 'request-1', peer: 'gateway', signal: new AbortController().signal }

/** A model of one token a character, 100 of context, and a prepare over it with all that it logs. */
function setUp(model: Partial<ServedModel> = {}) {
  const lines: unknown[] = []
  const write = (...line: unknown[]): void => {
    lines.push(line)
  }
  const log: Logger = { debug: write, info: write, warn: write, error: write }
  const registry = new Registry()
  const served: ServedModel = {
    contextLength: 100,
    longestTokenBytes: 4,
    tokenise(messages) {
      const text = messages.map(({ role, content }) => role.charAt(0) + content).join('')
      return Promise.resolve({ ids: Array.from(text, (_, i) => i), complete: true })
    },
    close: () => Promise.resolve(),
    ...model,
  }
  const prepare = createPrepare({ models: new Map([['tiny', served]]), log, metrics: createMetrics(registry) })
  return { lines, registry, prepare }
}

function request(content: string, more: Partial<PrepareRequest> = {}): PrepareRequest {
  return { model: 'tiny', messages: [{ role: 'user', content }], maxTokens: 0, ...more }
}

describe('prepare', () => {
  test('gives the tokens, and as many for the answer as are left', async () => {
    const { prepare } = setUp()
    expect(await prepare(request('ab'), call)).toEqual({ tokens: [0, 1, 2], maxTokens: 97 })
    expect(await prepare(request('ab', { maxTokens: 10 }), call)).toEqual({ tokens: [0, 1, 2], maxTokens: 10 })
    expect(await prepare(request('ab', { maxTokens: 1000 }), call)).toMatchObject({ maxTokens: 97 })
  })

  test('there must be room for one token of the answer', async () => {
    const { prepare } = setUp()
    expect(await prepare(request('a'.repeat(98)), call)).toMatchObject({ maxTokens: 1 })
    await expect(prepare(request('a'.repeat(99)), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'context_length_exceeded',
      param: 'messages',
      message: "This model's maximum context length is 100 tokens. However, your messages resulted in 100 tokens.",
    })
  })

  test('a text that can fit in no way is refused before it is looked at', async () => {
    const { prepare } = setUp({ tokenise: () => Promise.reject(new Error('not to be called')) })
    const refusal = {
      reason: 'context_length_exceeded',
      message: "This model's maximum context length is 100 tokens. However, your messages resulted in more than 100 tokens.",
    }
    await expect(prepare(request('a'.repeat(401)), call)).rejects.toMatchObject(refusal)
    await expect(prepare(request('é'.repeat(201)), call)).rejects.toMatchObject(refusal)
    const many = Array.from({ length: 101 }, () => ({ role: 'user', content: '' }))
    await expect(prepare(request('', { messages: many }), call)).rejects.toMatchObject(refusal)
    await expect(prepare(request('é'.repeat(200)), call)).rejects.toMatchObject({ reason: 'internal_error' })
    await expect(prepare(request('', { messages: many.slice(1) }), call)).rejects.toMatchObject({ reason: 'internal_error' })
  })

  test('one that was given up at the limit is not counted', async () => {
    const { prepare } = setUp({ tokenise: () => Promise.resolve({ ids: Array.from({ length: 150 }, () => 1), complete: false }) })
    await expect(prepare(request('a'), call)).rejects.toThrow('resulted in more than 100 tokens')
  })

  test('an unknown model, an unknown role, no messages', async () => {
    const { prepare } = setUp()
    await expect(prepare(request('a', { model: 'other' }), call)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      reason: 'model_not_found',
      param: 'model',
    })
    await expect(prepare(request('a', { messages: [{ role: 'canary', content: 'a' }] }), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      param: 'messages',
      message: 'A message has an unknown role.',
    })
    await expect(prepare(request('a', { messages: [] }), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      param: 'messages',
    })
  })

  test('"developer" reaches the template as "system", half a surrogate pair as a replacement character', async () => {
    let seen: unknown
    const { prepare } = setUp({
      tokenise: (messages) => {
        seen = messages
        return Promise.resolve({ ids: [1], complete: true })
      },
    })
    await prepare(request('', { messages: [{ role: 'developer', content: 'a\ud800b\0' }, { role: 'tool', content: '😀' }] }), call)
    expect(seen).toEqual([{ role: 'system', content: 'a\u{fffd}b\0' }, { role: 'tool', content: '😀' }])
  })

  test('errors go on as they are, unknown ones without their text, and are counted', async () => {
    const refusal = new ServiceError('INVALID_ARGUMENT', 'template_rejected', 'no', { param: 'messages' })
    const refusing = setUp({ tokenise: () => Promise.reject(refusal) })
    await expect(refusing.prepare(request('canary'), call)).rejects.toBe(refusal)
    const broken = setUp({ tokenise: () => Promise.reject(new TypeError('canary')) })
    await expect(broken.prepare(request('canary'), call)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'Something failed inside the service.',
    })
    expect(await refusing.registry.metrics()).toContain('intramuros_tokenizer_prepare_errors_total{reason="template_rejected"} 1')
    expect(await broken.registry.metrics()).toContain('intramuros_tokenizer_prepare_errors_total{reason="internal_error"} 1')
  })

  test('counts, and logs the request id and counts but nothing of the messages', async () => {
    const { prepare, lines, registry } = setUp()
    await prepare(request('canary'), call)
    expect(lines).toEqual([[{ requestId: 'request-1', tokens: 7, maxTokens: 93 }, 'prompt prepared']])
    const metrics = await registry.metrics()
    expect(metrics).toContain('intramuros_tokenizer_prompt_tokens_total 7')
    expect(metrics).toContain('intramuros_tokenizer_prepare_seconds_count 1')
  })
})
