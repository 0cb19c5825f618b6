import { afterEach, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, type Role, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

let platform: Platform
afterEach(() => platform.stop())

test.each(['audit', 'gateway', 'tokenizer', 'worker-0'] as Role[])('kill -9 of %s under load loses no record of an answered request', async (victim) => {
  platform = await startPlatform({ workers: [{ tokens: 6, delayMs: 1 }] })
  const answered: string[] = []
  let stop = false
  const client = async (): Promise<void> => {
    while (!stop) {
      const reply = await send(platform, chatBody(platform)).catch(() => undefined)
      if (reply?.status === 200) answered.push(String(reply.headers['x-request-id']))
      else await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const clients = Array.from({ length: 8 }, client)
  try {
    for (let round = 0; round < 3; round += 1) {
      const before = answered.length
      await until(() => answered.length >= before + 20, 'answers')
      await platform.kill(victim)
      await platform.restart(victim)
      await platform.ready('gateway')
    }
  } finally {
    stop = true
    await Promise.all(clients)
  }
  const ended = new Set((await auditRecords(platform.home)).filter((record) => record['type'] === 'request.end' && record['outcome'] === 'completed').map((record) => record['requestId']))
  expect(answered.filter((id) => !ended.has(id))).toEqual([])
  // What died is closed as such: nothing stays open once the gateway has attached again.
  await until(async () => {
    const records = await auditRecords(platform.home)
    const closed = new Set(records.filter((record) => record['type'] === 'request.end').map((record) => record['requestId']))
    return records.every((record) => record['type'] !== 'request.begin' || closed.has(record['requestId']))
  }, 'open records to be closed')
  expect((await verifyFolder(`${platform.home}/audit`)).ok).toBe(true)
})
