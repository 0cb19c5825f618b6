import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { QueryKind, UsageBy } from '../../proto/gen/intramuros/v1/audit_read.ts'
import { beginOf, endOf, refusedOf } from '../../services/audit/test-support/example-records.ts'
import { openTestLog } from '../../services/audit/test-support/open-test-log.ts'
import { type AuditReader, connectAuditReader } from '../../services/cli/audit-reader.ts'
import { writeArchive } from '../../services/cli/archive/write-archive.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'
import { runProgram } from '../support/run-program.ts'

const dayMs = 86_400_000
const root = join(import.meta.dirname, '../..')
let platform: Platform
let folder: string
let size = 0
const readers: AuditReader[] = []

/** What a platform of 50 days ago has left: 40 requests a day for ten days, and one that the gateway never ended. */
async function tenDays(home: string): Promise<void> {
  let now = Date.now() - 50 * dayMs + 3_600_000
  const log = await openTestLog(home, { clock: () => now })
  await log.append([beginOf('never-ended')])
  for (let day = 0; day < 10; day += 1) {
    const ids = Array.from({ length: 40 }, (_, n) => `old-${day}-${n}`)
    await log.append([...ids.map((id) => beginOf(id, { model: 'old-model', subject: `person-${day % 3}` })), ...ids.map((id) => endOf(id)), refusedOf({ team: 'default', count: 2 })])
    now += dayMs
  }
  size = log.size
  await log.close()
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-retention-'))
  platform = await startPlatform({ prepare: tenDays, sections: { audit: { retention: { requestsDays: 45, securityDays: 30 } } } })
})
afterAll(async () => {
  for (const reader of readers) await reader.close()
  await platform.stop()
  await rm(folder, { recursive: true })
})

async function connect(): Promise<AuditReader> {
  const reader = await connectAuditReader({ address: `127.0.0.1:${platform.ports('audit')['grpc']}`, tlsFolder: join(platform.home, 'tls') })
  readers.push(reader)
  return reader
}

async function intramuros(...args: string[]): Promise<string> {
  return await runProgram(process.execPath, [join(root, 'services/cli/main.ts'), ...args], { timeoutMs: 60_000 })
}

const anything = { team: '', keyId: '', subject: '', model: '', endpoint: '', outcome: '', error: '', type: '', fromMs: undefined, toMs: undefined, oldestFirst: true, limit: 1000, after: undefined }
const oldUse = { requests: 400n, refused: 20n, inputTokens: 4000n, cachedTokens: 1600n, outputTokens: 8000n, workerUs: 1_600_000n }

test('what is too old is gone soon after the start, the log verifies, usage is whole, and requests go on', async () => {
  // Requests of the first five days, refusals of all ten.
  await until(() => platform.output().includes('old records of the audit log were dropped'), 'old records to be dropped')
  expect(platform.output()).toMatch(/audit\.retention\.requestsDays.*less than six months/)
  const reply = await send(platform, chatBody(platform))
  expect(reply.status).toBe(200)

  const reader = await connect()
  const old = async () => (await reader.query({ ...anything, kind: QueryKind.REQUESTS, model: 'old-model' })).requests.map(({ requestId }) => requestId)
  const kept = [5, 6, 7, 8, 9].flatMap((day) => Array.from({ length: 40 }, (_, n) => `old-${day}-${n}`))
  expect((await old()).toSorted()).toEqual(kept.toSorted())
  const others = async (type: string) => (await reader.query({ ...anything, kind: QueryKind.OTHERS, type })).others.map(({ record }): unknown => JSON.parse(record.toString()))
  expect(await others('request.refused')).toEqual([])
  expect(await others('log.pruned')).toMatchObject([{ class: 'requests', from: 0, entries: 400 }, { class: 'security', from: 0, entries: 10 }])
  const { rows, wholeFromMs } = await reader.usage({ month: '', team: 'default', by: [UsageBy.TEAM, UsageBy.MODEL] })
  expect(wholeFromMs).toBe(0n)
  expect(rows.find(({ model }) => model === 'old-model')?.sums).toEqual({ ...oldUse, refused: 0n })
  expect(rows.find(({ model }) => model === '')?.sums?.refused).toBe(oldUse.refused)

  // The open one of long ago was closed by the gateway's coming, and is not old: it ended today.
  await until(async () => (await reader.query({ ...anything, kind: QueryKind.REQUESTS, outcome: 'interrupted' })).requests.length === 1, 'the open request to be closed')

  const receipt = (id: string) => send(platform, undefined, { method: 'GET', path: `/v1/receipts/${id}` })
  const refused = await receipt('old-0-0')
  expect(refused.status).toBe(404)
  expect(JSON.parse(refused.text)).toMatchObject({ error: { code: 'receipt_not_found' } })
  expect((await receipt('old-9-0')).status).toBe(200)

  const key = await readFile(join(platform.home, 'audit-key/log.pub'), 'utf8')
  const verdict = await intramuros('audit', 'verify', '--folder', join(platform.home, 'audit'), '--key', key.trim())
  expect(verdict).toMatch(/is intact: .* 410 pruned, checked by their hashes/)
  const records = await auditRecords(platform.home)
  expect(records.slice(0, size).filter(({ type }) => type === undefined).length).toBe(410)
})

test('an export of what was pruned in part is checked by our code and by that of others', async () => {
  const reader = await connect()
  await until(async () => Number((await reader.checkpoint()).content.toString().split('\n')[1]) > size, 'a checkpoint of this start')
  const archive = join(folder, 'all')
  await writeArchive(reader.export({ team: '', fromMs: undefined, toMs: undefined }), { folder: archive, team: '', from: '', to: '' })
  const key = join(platform.home, 'audit-key/log.pub')
  expect(await intramuros('audit', 'verify', '--archive', archive, '--key', key)).toMatch(/410 entries between its first and its last are not in it/)
  expect(await runProgram('python3', [join(root, 'docs/audit/verify-export.py'), archive, key], { timeoutMs: 60_000 })).toMatch(/ records are what stands in the log /)
  expect(await readFile(join(archive, 'requests.csv'), 'utf8')).not.toContain('old-0-')
})

test('with the index deleted, and started again, usage is what it was and nothing is pruned twice', async () => {
  const before = await (await connect()).usage({ month: '', team: '', by: [UsageBy.TEAM, UsageBy.MODEL, UsageBy.KEY, UsageBy.SUBJECT, UsageBy.MONTH] })
  await platform.kill('audit')
  for (const suffix of ['', '-wal', '-shm']) await rm(join(platform.home, `audit/index.db${suffix}`), { force: true })
  await platform.restart('audit')
  await platform.ready('audit')
  await platform.ready('gateway')
  const reader = await connect()
  const query = () => reader.query({ ...anything, kind: QueryKind.OTHERS, type: 'log.pruned' })
  await until(async () => (await query()).others.length > 0, 'the index to be made again')
  expect((await query()).others.length).toBe(2)
  const after = await reader.usage({ month: '', team: '', by: [UsageBy.TEAM, UsageBy.MODEL, UsageBy.KEY, UsageBy.SUBJECT, UsageBy.MONTH] })
  expect(after).toEqual(before)
  expect(await platform.drain('audit', 10_000)).toBe(0)
})
