import { expect, test } from 'vitest'
import { chatBody, send } from '../support/client.ts'
import { startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

// Each starts a platform of its own.
const timeout = 90_000
const allow = { INTRAMUROS_AUDIT_ON_FAILURE: 'allow' }

test('one setting alone does not make the gateway answer without records', async () => {
  await expect(startPlatform({ env: allow })).rejects.toThrow(/INTRAMUROS_AUDIT_ALLOW_UNRECORDED=yes-i-accept-unrecorded-answers/)
}, timeout)

test('with both, requests are answered while the ledger is away, counted, said aloud and recorded later', async () => {
  const platform = await startPlatform({ workers: [{ tokens: 8 }], env: { ...allow, INTRAMUROS_AUDIT_ALLOW_UNRECORDED: 'yes-i-accept-unrecorded-answers' } })
  const gateway = platform.monitor('gateway')
  const text = async (path: string): Promise<string> => (await fetch(`${gateway}${path}`)).text()
  try {
    expect(await text('/readyz')).toMatch(/^ready\nwarning: audit\.onFailure is allow/)
    expect((await send(platform, chatBody(platform))).headers).toHaveProperty('x-intramuros-record')
    await platform.kill('audit')
    await until(async () => (await text('/readyz')).includes('IT CAN NOT BE REACHED NOW'), 'the loss to be noticed')
    const replies = await Promise.all([1, 2, 3].map(() => send(platform, chatBody(platform))))
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200])
    for (const { headers } of replies) expect(headers).not.toHaveProperty('x-intramuros-record')
    expect(await text('/metrics')).toMatch(/^intramuros_gateway_unrecorded_requests_total(\{[^}]*\})? 3$/m)
    expect(platform.output()).toContain('WITHOUT A RECORD')
    await platform.restart('audit')
    const unrecorded = async () => (await auditRecords(platform.home)).filter((record) => record['type'] === 'request.unrecorded')
    await until(async () => (await unrecorded()).length === 3, 'the requests to be recorded')
    const ids = (await unrecorded()).map((record) => String(record['requestId']))
    expect(new Set(ids)).toEqual(new Set(replies.map(({ headers }) => headers['x-request-id'])))
    expect(await unrecorded()).toMatchObject([1, 2, 3].map(() => ({ team: 'default', model: platform.model, outcome: 'completed', outputTokens: 9 })))
    const gaps = async () => (await auditRecords(platform.home)).filter(({ type, reason }) => type === 'log.gap' && reason === 'not_reached')
    const counted = async () => (await gaps()).reduce((sum, { unrecorded: count }) => sum + Number(count), 0)
    await until(async () => (await counted()) >= 3, 'the gap to be recorded')
    expect(await counted()).toBe(3)
    await until(async () => !(await text('/readyz')).includes('IT CAN NOT'), 'the ledger to be back')
    expect((await send(platform, chatBody(platform))).headers).toHaveProperty('x-intramuros-record')
  } finally {
    await platform.stop()
  }
}, timeout)
