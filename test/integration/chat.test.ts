import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { chatBody, events, open, send, type StreamEvent } from '../support/client.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform({ workers: [{ tokens: 8 }], env: { INTRAMUROS_GATEWAY_MAX_BODY_BYTES: '100000' } })
})
afterAll(() => platform.stop())

interface Completion {
  id: string
  object: string
  model: string
  choices: { index: number; message: { role: string; content: string }; finish_reason: string }[]
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
}

interface Failure {
  error: { message: string; type: string; param: string | null; code: string }
}

describe('POST /v1/chat/completions', () => {
  test('answers whole', async () => {
    const reply = await send(platform, chatBody(platform))
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('application/json')
    const completion = JSON.parse(reply.text) as Completion
    expect(completion).toMatchObject({ object: 'chat.completion', model: platform.model, choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'stop' }] })
    expect(completion.id).toMatch(/^chatcmpl-/)
    expect(completion.choices[0]?.message.content).not.toBe('')
    expect(completion.usage.total_tokens).toBe(completion.usage.prompt_tokens + completion.usage.completion_tokens)
  })

  test('answers the same text streamed, with usage last and [DONE] at the end', async () => {
    const whole = JSON.parse((await send(platform, chatBody(platform))).text) as Completion
    const { response } = await open(platform, chatBody(platform, { stream: true, stream_options: { include_usage: true } }))
    expect(response.headers['content-type']).toMatch(/^text\/event-stream/)
    const all: StreamEvent[] = []
    for await (const event of events(response)) all.push(event)
    expect(all.at(-1)).toEqual({ done: true })
    expect(all.at(-2)).toMatchObject({ choices: [], usage: whole.usage })
    expect(all.at(-3)?.choices?.[0]?.finish_reason).toBe('stop')
    expect(all[0]?.choices?.[0]?.delta.role).toBe('assistant')
    expect(all.map((event) => event.choices?.[0]?.delta.content ?? '').join('')).toBe(whole.choices[0]?.message.content)
  })

  test('stops at max_tokens with finish_reason length', async () => {
    const completion = JSON.parse((await send(platform, chatBody(platform, { max_completion_tokens: 3 }))).text) as Completion
    expect(completion.choices[0]?.finish_reason).toBe('length')
    expect(completion.usage.completion_tokens).toBe(3)
  })

  test.each([
    ['no key', 401, 'invalid_api_key', {}, { authorization: '' }],
    ['a wrong key', 401, 'invalid_api_key', {}, { authorization: 'Bearer sk-im-wrong' }],
    ['a key in another scheme', 401, 'invalid_api_key', {}, { authorization: 'Basic abc' }],
    ['an unknown model', 404, 'model_not_found', { model: 'nope' }, {}],
    ['a wrong type', 400, 'invalid_value', { temperature: 'hot' }, {}],
    ['a parameter that is not supported', 400, 'unsupported_parameter', { store: true }, {}],
    ['a body that is too large', 413, 'body_too_large', { user: 'x'.repeat(200_000) }, {}],
    ['a compressed body', 415, 'unsupported_content_encoding', {}, { 'content-encoding': 'gzip' }],
  ])('refuses %s', async (_, status, code, body, headers) => {
    const reply = await send(platform, chatBody(platform, body), { headers })
    expect(reply.status).toBe(status)
    const { error } = JSON.parse(reply.text) as Failure
    expect(error.code).toBe(code)
    expect(error.message).not.toBe('')
    expect(reply.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('refuses a prompt that does not fit, with both numbers', async () => {
    const reply = await send(platform, chatBody(platform, { messages: [{ role: 'user', content: 'word '.repeat(15_000) }] }))
    expect(reply.status).toBe(400)
    const { error } = JSON.parse(reply.text) as Failure
    expect(error).toMatchObject({ code: 'context_length_exceeded', param: 'messages' })
    expect(error.message.match(/\d+/g)?.length).toBeGreaterThanOrEqual(2)
  })

  test('names unknown parameters that it ignored', async () => {
    expect((await send(platform, chatBody(platform, { mystery: 1 }))).headers['x-intramuros-ignored']).toBe('mystery')
  })
})

describe('other paths', () => {
  test('GET /v1/models lists what the team may use', async () => {
    const reply = await send(platform, undefined, { method: 'GET', path: '/v1/models' })
    expect(JSON.parse(reply.text)).toMatchObject({ object: 'list', data: [{ id: platform.model, object: 'model', context_length: 4096, capabilities: expect.arrayContaining(['chat', 'completion']) as string[], licence: 'Apache-2.0' }] })
  })

  test.each([
    ['GET', '/v1/chat/completions', 405],
    ['POST', '/v1/nothing', 404],
    ['GET', '/', 404],
  ])('%s %s gives %i in the shape of an error', async (method, path, status) => {
    const reply = await send(platform, method === 'GET' ? undefined : {}, { method, path })
    expect(reply.status).toBe(status)
    expect((JSON.parse(reply.text) as Failure).error.type).toBe('invalid_request_error')
    expect(reply.headers['allow']).toBe(status === 405 ? 'POST' : undefined)
  })
})

test('every answer has its begin and end record, and the log verifies', async () => {
  const reply = await send(platform, chatBody(platform))
  const requestId = reply.headers['x-request-id']
  const mine = (await auditRecords(platform.home)).filter((record) => record['requestId'] === requestId)
  expect(mine).toMatchObject([
    { type: 'request.begin', team: 'default', model: platform.model },
    { type: 'request.end', outcome: 'completed', finishReason: 'stop' },
  ])
  expect((await verifyFolder(`${platform.home}/audit`)).ok).toBe(true)
})

test('the request id joins the logs of the four services', async () => {
  const reply = await send(platform, chatBody(platform))
  const requestId = String(reply.headers['x-request-id'])
  await expect
    .poll(() => {
      const lines = platform.output().split('\n').filter((line) => line.includes(requestId))
      return new Set(lines.map((line) => (JSON.parse(line) as { service: string }).service))
    })
    .toEqual(new Set(['gateway', 'tokenizer', 'inference-worker', 'audit']))
})

test.each(['gateway', 'tokenizer', 'worker-0', 'audit'] as const)('%s has metrics and probes on a port of their own', async (role) => {
  expect((await fetch(`${platform.monitor(role)}/livez`)).status).toBe(200)
  expect((await fetch(`${platform.monitor(role)}/readyz`)).status).toBe(200)
  const text = await (await fetch(`${platform.monitor(role)}/metrics`)).text()
  expect(text).toMatch(/^intramuros_rpc_(server|client)_calls_total\{[^}]*code="OK"/m)
})
