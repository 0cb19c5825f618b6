import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chatBody, events, open, send } from '../support/client.ts'
import { type Platform, type Role, startPlatform, until } from '../support/platform.ts'

const canary = `canary${randomBytes(12).toString('hex')}`
const roles: Role[] = ['gateway', 'tokenizer', 'worker-0', 'audit']
let platform: Platform
let collector: Server
const traces: Buffer[] = []

beforeAll(async () => {
  collector = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => traces.push(chunk))
    request.on('end', () => response.writeHead(200).end())
  })
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  platform = await startPlatform({ workers: [{ tokens: 8 }], env: { INTRAMUROS_LOG_LEVEL: 'trace', INTRAMUROS_TELEMETRY_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' } })
})
afterAll(async () => {
  await platform.stop()
  collector.closeAllConnections()
  collector.close()
})

test('what a client sends appears nowhere but in its own answer', async () => {
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
  ]
  await Promise.all(sent)
  const { response, sent: cut } = await open(platform, chatBody(platform, { ...prompt, stream: true }))
  await events(response).next()
  cut.destroy()

  const metrics = (await Promise.all(roles.map(async (role) => (await fetch(`${platform.monitor(role)}/metrics`)).text()))).join('\n')
  await until(() => traces.some((bytes) => bytes.includes('gen_ai.request.model')), 'traces')
  for (const role of ['gateway', 'worker-0', 'tokenizer', 'audit'] as Role[]) expect(await platform.drain(role, 1000)).toBe(0)

  expect(platform.output()).toContain('chat completion') // so the logs are really there
  expect(platform.output()).not.toContain(canary)
  expect(metrics).toContain('intramuros_gateway_requests_total')
  expect(metrics).not.toContain(canary)
  expect(Buffer.concat(traces).includes(canary)).toBe(false)
  for (const file of await readdir(platform.home, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const bytes = await readFile(join(file.parentPath, file.name))
    expect(bytes.includes(canary), file.name).toBe(false)
    expect(bytes.includes(platform.key), file.name).toBe(false)
  }
})
