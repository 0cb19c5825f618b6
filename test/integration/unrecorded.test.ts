import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createTeamKey } from '../../services/shared/content/team-key.ts'
import { openDirectory } from '../../services/shared/directory/directory.ts'
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

test('content that a team wants kept is not given up for that: its requests are refused while the ledger is away', async () => {
  const keys = await mkdtemp(join(tmpdir(), 'intramuros-keys-'))
  const platform = await startPlatform({
    workers: [{ tokens: 8 }],
    env: { ...allow, INTRAMUROS_AUDIT_ALLOW_UNRECORDED: 'yes-i-accept-unrecorded-answers', INTRAMUROS_GATEWAY_CONTENT_KEY_FOLDER: keys },
  })
  const directory = openDirectory({ home: platform.home })
  try {
    const { id } = await createTeamKey(keys, 'default-1')
    directory.addContentKey({ name: 'default-1', team: 'default', keyId: id })
    directory.changeTeam('default', { contentKey: 'default-1' })
    expect((await send(platform, chatBody(platform))).status).toBe(200)
    await platform.kill('audit')
    const refused = await send(platform, chatBody(platform))
    expect([refused.status, refused.text]).toEqual([503, expect.stringContaining('content_unavailable')])
    directory.changeTeam('default', { contentKey: '' })
    expect((await send(platform, chatBody(platform))).status).toBe(200)
  } finally {
    directory.close()
    await platform.stop()
    await rm(keys, { recursive: true })
  }
}, timeout)
