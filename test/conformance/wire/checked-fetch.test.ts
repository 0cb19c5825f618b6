import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkedFetch } from './checked-fetch.ts'

interface Answer {
  status?: number
  type?: string
  body: string
}

let server: Server
let answer: Answer

beforeAll(async () => {
  server = createServer((_, response) => {
    response.writeHead(answer.status ?? 200, { 'content-type': answer.type ?? 'application/json', 'x-request-id': '1' }).end(answer.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => {
  server.close()
})

/** What is found wrong with an answer; the empty text if nothing is. */
async function foundIn(path: string, given: Answer): Promise<string> {
  answer = given
  const wire = checkedFetch()
  const { port } = server.address() as AddressInfo
  const response = await wire.fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body: '{}' })
  expect(await response.text()).toBe(given.body)
  try {
    wire.verify()
    return ''
  } catch (thrown) {
    return (thrown as Error).message
  }
}

const chunk = { id: '1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [] }
const stream = (...events: string[]): Answer => ({ type: 'text/event-stream', body: events.map((event) => `${event}\n\n`).join('') })
const named = (event: { type: string }): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}`
const delta = (number: number) => ({ type: 'response.output_text.delta', content_index: 0, delta: 'a', item_id: 'a', logprobs: [], output_index: 0, sequence_number: number })

describe('the fetch that checks', () => {
  test('finds nothing wrong with what is right', async () => {
    expect(await foundIn('/v1/chat/completions', stream(`data: ${JSON.stringify(chunk)}`, 'data: [DONE]'))).toBe('')
    expect(await foundIn('/v1/responses', stream(named(delta(0)), named(delta(1))))).toBe('')
    expect(await foundIn('/v1/messages', stream(named({ type: 'message_stop' }), named({ type: 'ping' })))).toBe('')
    expect(await foundIn('/v1/responses', { status: 400, body: JSON.stringify({ error: { message: 'm', type: 't', param: null, code: null } }) })).toBe('')
  })

  const wrong: [string, string, Answer, string][] = [
    ['a body of another shape', '/v1/chat/completions', { body: JSON.stringify({ ...chunk, object: 'chat.completion', more: 1 }) }, '"more"'],
    ['a body of another type', '/v1/chat/completions', { type: 'text/plain', body: JSON.stringify({ ...chunk, object: 'chat.completion' }) }, 'text/plain'],
    ['an event of another shape', '/v1/chat/completions', stream(`data: ${JSON.stringify({ ...chunk, id: 1 })}`, 'data: [DONE]'), '/id'],
    ['a stream without its end', '/v1/completions', stream(), '[DONE]'],
    ['half an event', '/v1/chat/completions', { type: 'text/event-stream', body: 'data: [DONE]\n' }, 'in the middle of an event'],
    ['a sequence with a gap', '/v1/responses', stream(named(delta(0)), named(delta(2))), 'sequence numbers are 0, 2'],
    ['an event with another name', '/v1/messages', stream(`event: ping\ndata: ${JSON.stringify({ type: 'message_stop' })}`), 'is named ping'],
    ['an error of another shape', '/v1/chat/completions', { status: 400, body: JSON.stringify({ error: { message: 'm' } }) }, 'shape of an error'],
    ['an error of another API', '/v1/messages', { status: 400, body: JSON.stringify({ error: { message: 'm', type: 't', param: null, code: null } }) }, 'ErrorResponse'],
  ]

  test.each(wrong)('finds %s', async (_, path, given, found) => {
    expect(await foundIn(path, given)).toContain(found)
  })
})
