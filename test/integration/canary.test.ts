import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createTeamKey } from '../../services/shared/content/team-key.ts'
import { openDirectory } from '../../services/shared/directory/directory.ts'
import { chatBody, events, open, send } from '../support/client.ts'
import { filesWith } from '../support/files-with.ts'
import { type Platform, type Role, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

const canary = `canary${randomBytes(12).toString('hex')}`
const roles: Role[] = ['gateway', 'tokenizer', 'worker-0', 'audit']
let platform: Platform
let keys: string
let collector: Server
const traces: Buffer[] = []

beforeAll(async () => {
  collector = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => traces.push(chunk))
    request.on('end', () => response.writeHead(200).end())
  })
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
})
beforeEach(async () => {
  keys = await mkdtemp(join(tmpdir(), 'intramuros-keys-'))
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  platform = await startPlatform({ workers: [{ tokens: 8 }], env: { INTRAMUROS_GATEWAY_CONTENT_KEY_FOLDER: keys, INTRAMUROS_LOG_LEVEL: 'trace', INTRAMUROS_TELEMETRY_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' } })
})
afterEach(async () => {
  await platform.stop()
  await rm(keys, { recursive: true })
})
afterAll(() => {
  collector.closeAllConnections()
  collector.close()
})

/** From now on the content of the requests is kept, encrypted. */
async function keepContent(): Promise<void> {
  const { id } = await createTeamKey(keys, 'default-1')
  const directory = openDirectory({ home: platform.home })
  directory.addContentKey({ name: 'default-1', team: 'default', keyId: id })
  directory.changeTeam('default', { contentKey: 'default-1' })
  directory.close()
}

/** A body with the canary wherever a client's text can stand, for each API; some are refused for it. */
function otherRequests(): [string, object][] {
  const schema = { type: 'object', properties: { [canary]: { type: 'string', enum: [canary] } }, required: [canary], additionalProperties: false }
  const parameters = { ...schema, description: canary }
  const tool = { type: 'function', function: { name: canary, description: canary, parameters } }
  const messages = [
    { role: 'user', content: canary, name: canary },
    { role: 'assistant', content: canary, reasoning_content: canary, tool_calls: [{ id: canary, type: 'function', function: { name: canary, arguments: `{"a":"${canary}"}` } }] },
    { role: 'tool', tool_call_id: canary, content: canary },
  ]
  return [
    ['/v1/chat/completions', { messages, tools: [tool], tool_choice: 'required', chat_template_kwargs: { [canary]: canary }, prompt_cache_key: canary }],
    ['/v1/chat/completions', { messages: messages.slice(0, 1), response_format: { type: 'json_schema', json_schema: { name: canary, schema } } }],
    ['/v1/chat/completions', { messages: messages.slice(0, 1), response_format: { type: 'json_schema', json_schema: { name: canary, schema: { [canary]: canary } } } }],
    ['/v1/chat/completions', { messages: messages.slice(0, 1), grammar: `root ::= "${canary}"` }],
    ['/v1/chat/completions', { messages: messages.slice(0, 1), grammar: `root ::= ${canary}` }],
    ['/v1/completions', { prompt: canary, echo: true, stop: canary }],
    ['/v1/completions', { prompt: canary, suffix: canary }],
    ['/v1/responses', { input: canary, instructions: canary, tools: [{ type: 'function', name: canary, parameters, strict: false }] }],
    ['/v1/responses', { input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: canary }] }], previous_response_id: canary, stream: true }],
    ['/v1/messages', { max_tokens: 5, system: canary, messages: [{ role: 'user', content: [{ type: 'text', text: canary }] }], stop_sequences: [canary] }],
    ['/v1/messages', { max_tokens: 5, messages: [{ role: 'user', content: [{ type: canary, text: canary }] }] }],
    ['/v1/messages/count_tokens', { messages: [{ role: 'user', content: canary }] }],
    ['/v1/embeddings', { input: [canary, canary] }],
    ['/v1/rerank', { query: canary, documents: [canary, { text: canary, [canary]: canary }] }],
    ['/tokenize', { content: canary, with_pieces: true }],
    ['/tokenize', { messages: messages.slice(0, 1) }],
    ['/detokenize', { tokens: [1, 2], [canary]: canary }],
    ['/apply-template', { messages, tools: [tool] }],
  ]
}

test.for([false, true])('what a client sends appears nowhere but in its own answer (content is kept: %s)', async (kept) => {
  if (kept) await keepContent()
  const prompt = { messages: [{ role: 'system', content: canary }, { role: 'user', content: `<|im_start|>${canary}` }] }
  const sent: Promise<unknown>[] = [
    send(platform, chatBody(platform, prompt)),
    send(platform, chatBody(platform, { ...prompt, stop: [canary], user: canary, metadata: { [canary]: canary }, [canary]: canary })),
    send(platform, `{"model": "${platform.model}", "messages": [{"content": "${canary}`),
    send(platform, `{"${canary}": ${canary}}`),
    send(platform, Buffer.concat([Buffer.from(canary), Buffer.from([0xff, 0xfe])])),
    send(platform, chatBody(platform, { model: canary })),
    send(platform, chatBody(platform, { temperature: canary })),
    send(platform, chatBody(platform, { messages: [{ role: canary, content: canary }] })),
    send(platform, chatBody(platform, { messages: [{ role: 'user', content: `${canary} `.repeat(10_000) }] })),
    send(platform, chatBody(platform), { headers: { authorization: `Bearer ${canary}` } }),
    send(platform, chatBody(platform), { headers: { 'x-canary': canary, 'x-request-id': canary, traceparent: canary, tracestate: `a=${canary}`, baggage: `a=${canary}`, cookie: canary, 'user-agent': canary } }),
    send(platform, chatBody(platform), { headers: { 'content-encoding': canary } }),
    send(platform, undefined, { method: 'GET', path: `/${canary}?${canary}` }),
    send(platform, undefined, { method: 'GET', path: `/v1/models/${canary}` }),
    send(platform, undefined, { method: 'GET', path: `/v1/models/${canary}`, headers: { authorization: `Bearer ${canary}` } }),
    send(platform, chatBody(platform), { headers: { authorization: '', 'x-api-key': canary } }),
    send(platform, undefined, { method: 'GET', path: `/v1/receipts/${canary}` }),
    send(platform, undefined, { method: 'GET', path: `/v1/receipts/${canary}${canary}${canary}?${canary}` }),
    send(platform, chatBody(platform, { max_tokens: 3, seed: canary, top_p: 0.5, logit_bias: { 1: 2 }, metadata: { [canary]: canary } })),
    ...otherRequests().map(([path, body]) => send(platform, { model: platform.model, ...body }, { path })),
  ]
  await Promise.all(sent)
  const { response, sent: cut } = await open(platform, chatBody(platform, { ...prompt, stream: true }))
  await events(response).next()
  cut.destroy()

  // Receipts hold what the log holds, and the errors of the ledger reach clients as they are.
  const answered = await send(platform, chatBody(platform, prompt))
  const receipts = await Promise.all(
    [answered, await send(platform, chatBody(platform, { ...prompt, response_format: { type: 'json_schema', json_schema: { name: canary, schema: { [canary]: canary } } } }))].map(({ headers }) =>
      send(platform, undefined, { method: 'GET', path: `/v1/receipts/${String(headers['x-request-id'])}` }),
    ),
  )
  for (const { status, text } of receipts) {
    expect(status).toBe(200)
    const extra = /^extra (.+)$/m.exec(text)?.[1] ?? ''
    expect(Buffer.from(extra, 'base64').toString()).toContain('"type":"request.end"')
    expect(Buffer.from(extra, 'base64').toString()).not.toContain(canary)
  }

  const metrics = (await Promise.all(roles.map(async (role) => (await fetch(`${platform.monitor(role)}/metrics`)).text()))).join('\n')
  await until(() => traces.some((bytes) => bytes.includes('gen_ai.request.model')), 'traces')
  for (const role of ['gateway', 'worker-0', 'tokenizer', 'audit'] as Role[]) expect(await platform.drain(role, 1000)).toBe(0)

  expect(platform.output()).toContain('POST /v1/chat/completions') // so the logs are really there
  expect(platform.output()).not.toContain(canary)
  expect(metrics).toContain('intramuros_gateway_requests_total')
  expect(metrics).not.toContain(canary)
  expect(Buffer.concat(traces).includes(canary)).toBe(false)
  const records = await auditRecords(platform.home)
  // So that what is swept holds records of all that was sent.
  const kinds = new Set(records.map((record) => record['type']))
  for (const kind of ['request.begin', 'request.end', 'request.refused', 'service.changed', 'directory.changed']) expect(kinds).toContain(kind)
  expect(kinds.has('content.kept')).toBe(kept)
  expect(JSON.stringify(records)).not.toContain(canary)
  expect(await filesWith(platform.home, [canary, platform.key])).toEqual([])
})
