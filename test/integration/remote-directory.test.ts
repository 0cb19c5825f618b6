import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Directory, openDirectory } from '../../services/shared/directory/directory.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

/** As in a cluster: the gateway sees no file of the directory, and asks the audit service. */
let platform: Platform
let directory: Directory

beforeAll(async () => {
  platform = await startPlatform({ env: { INTRAMUROS_GATEWAY_DIRECTORY: 'audit', INTRAMUROS_AUDIT_DIRECTORY: 'true' } })
  directory = openDirectory({ home: platform.home })
})
afterAll(async () => {
  directory.close()
  await platform.stop()
})

async function status(key: string): Promise<number> {
  return (await send({ ...platform, key }, chatBody(platform))).status
}

const within = { timeout: 5000, interval: 50 }

test('keys are accepted from when they are made until they are revoked, and what was changed is recorded once', async () => {
  expect(await status(platform.key)).toBe(200)
  directory.addTeam('ward', [])
  const { id, secret } = directory.createKey('ward')
  await vi.waitFor(async () => expect(await status(secret)).toBe(200), within)
  directory.revokeKey(id)
  await vi.waitFor(async () => expect(await status(secret)).toBe(401), within)
  await vi.waitFor(async () => {
    const records = await auditRecords(platform.home)
    const changes = records.filter(({ type, team }) => type === 'directory.changed' && team === 'ward').map(({ event }) => event)
    expect(changes).toEqual(['team.created', 'key.created', 'key.revoked'])
    // Whose key it was is known of a revoked one as well.
    expect(records).toContainEqual(expect.objectContaining({ type: 'request.refused', team: 'ward', keyId: id, reason: 'revoked_api_key' }))
  }, { timeout: 15_000, interval: 100 })
})

test('a large directory comes in parts, and a team that was removed has no keys', async () => {
  directory.addTeam('large', [])
  const keys = Array.from({ length: 2500 }, () => directory.createKey('large').secret)
  const [first = '', last = ''] = [keys[0], keys.at(-1)]
  await vi.waitFor(async () => expect(await status(last)).toBe(200), within)
  expect(await status(first)).toBe(200)
  directory.removeTeam('large', { force: true })
  await vi.waitFor(async () => expect(await status(first)).toBe(401), within)
  expect(await status(platform.key)).toBe(200)
}, 60_000)

test('after the audit service died and came back, keys and changes count as before', async () => {
  await platform.kill('audit')
  const { secret } = directory.createKey('default')
  expect(await status(platform.key)).toBe(503)
  await platform.restart('audit')
  await vi.waitFor(async () => expect(await status(secret)).toBe(200), { timeout: 15_000, interval: 100 })
})
