import { afterEach, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

let platform: Platform
afterEach(() => platform.stop())

test('an audit service that is stopped under load: 503 within bounded time, and service resumes by itself', { timeout: 90_000 }, async () => {
  platform = await startPlatform({ workers: [{ tokens: 4 }] })
  const answered: string[] = []
  let slowestMs = 0
  let refused = 0
  let stop = false
  const clients = Array.from({ length: 4 }, async () => {
    while (!stop) {
      const began = performance.now()
      const reply = await send(platform, chatBody(platform)).catch(() => undefined)
      slowestMs = Math.max(slowestMs, performance.now() - began)
      if (reply?.status === 200) answered.push(String(reply.headers['x-request-id']))
      else {
        expect(reply?.status).toBe(503)
        refused += 1
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  })
  try {
    await until(() => answered.length > 20, 'answers')
    platform.process('audit').kill('SIGSTOP')
    await until(() => refused > 8, 'refusals', 40_000)
    platform.process('audit').kill('SIGCONT')
    const before = answered.length
    await until(() => answered.length > before + 20, 'answers again', 30_000)
  } finally {
    platform.process('audit').kill('SIGCONT')
    stop = true
    await Promise.all(clients)
  }
  expect(slowestMs).toBeLessThan(20_000)
  const ended = new Set((await auditRecords(platform.home)).filter((record) => record['type'] === 'request.end').map((record) => record['requestId']))
  expect(answered.filter((id) => !ended.has(id))).toEqual([])
  expect(await verifyFolder(`${platform.home}/audit`)).toMatchObject({ ok: true })
})
