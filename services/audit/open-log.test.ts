import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { recordsIn } from '../../test/support/records.ts'
import { hasFormerLog, LogUnusableError, type OpenLog } from './open-log.ts'
import { openTestLog, refusal, type TestLogOptions } from './test-support/open-test-log.ts'
import { openCheckpoint } from './tlog/checkpoint.ts'
import { ed25519Verifier } from './tlog/note.ts'
import { verifyFolder } from './verify/verify-folder.ts'

let home: string
const opened: OpenLog[] = []
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'audit-open-'))))
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close()
  await rm(home, { recursive: true })
})

async function open(options?: TestLogOptions): Promise<OpenLog> {
  const log = await openTestLog(home, options)
  opened.push(log)
  return log
}

async function types(): Promise<unknown[]> {
  return (await recordsIn(join(home, 'audit'))).map(({ type, clean }) => (clean === undefined ? type : `${String(type)} ${String(clean)}`))
}

test('says when it was opened and closed, and whether it had been closed before', async () => {
  await (await open()).close()
  const log = await open()
  await log.append([refusal('a')])
  expect(await types()).toEqual(['log.opened true', 'log.closed', 'log.opened true', 'request.refused'])
  await log.close()
  const database = new DatabaseSync(join(home, 'audit/log.sqlite'))
  expect(database.prepare('SELECT size FROM head').get()).toEqual({ size: 5 })
  database.close()
})

test('replays the records that are in the log already', async () => {
  const first = await open()
  await first.append(Array.from({ length: 600 }, (_, at) => refusal(`r${at}`)))
  await first.close()
  const seen: string[] = []
  await open({ onRecord: (index, record) => record.type === 'request.refused' && seen.push(`${index} ${record.instance}`) })
  expect(seen).toEqual(Array.from({ length: 600 }, (_, at) => `${at + 1} r${at}`))
})

test('publishes checkpoints by itself while it grows, and at once when one is wanted', async () => {
  const log = await open({ checkpointMs: 3_600_000 })
  const index = await log.append([refusal('a')])
  const note = await log.checkpointOf(index + 1)
  const keys = { origin: log.signer.origin, log: [ed25519Verifier(log.signer.vkey)] }
  expect(openCheckpoint(note, keys).size).toBeGreaterThan(index)
  expect(await readFile(join(home, 'audit/checkpoint'), 'utf8')).toBe(note)
  await expect(log.checkpointOf(1000)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
})

describe('the key', () => {
  test('is made at first start, for its owner alone, with its public half beside it', async () => {
    const log = await open()
    expect((await stat(join(home, 'audit-key/log.key'))).mode & 0o777).toBe(0o600)
    expect(await readFile(join(home, 'audit-key/log.pub'), 'utf8')).toBe(`${log.signer.vkey}\n`)
    expect(log.signer.origin).toMatch(/^intramuros\.internal\/[0-9a-f]{32}$/)
    const { origin } = log.signer
    await log.close()
    expect((await open()).signer.origin).toBe(origin)
  })

  test('has the origin that is configured, for good', async () => {
    await (await open({ origin: 'audit.example.org/llm' })).close()
    expect((await readFile(join(home, 'audit-key/log.pub'), 'utf8')).startsWith('audit.example.org/llm+')).toBe(true)
    await expect(open({ origin: 'audit.example.org/other' })).rejects.toThrow(/A log keeps its origin for good/)
  })

  test('that is gone is not replaced by another', async () => {
    await (await open()).close()
    await rm(join(home, 'audit-key'), { recursive: true })
    await expect(open()).rejects.toThrow(/The key that signs the audit log is missing/)
  })

  test('of a log that was moved aside signs no other one', async () => {
    await (await open()).close()
    await rename(join(home, 'audit'), join(home, 'aside'))
    await expect(open()).rejects.toThrow(LogUnusableError)
    await rename(join(home, 'audit-key'), join(home, 'aside-key'))
    await expect(open()).resolves.toBeDefined()
  })
})

describe('what a crash left', () => {
  test('full bundles that are files while their rows are still there, half of them, and temporary files', async () => {
    const log = await open()
    await log.append(Array.from({ length: 1200 }, (_, at) => refusal(`r${at}`)))
    await log.close()
    await rm(join(home, 'audit/tile/entries/002'))
    await rm(join(home, 'audit/tile/0/001'))
    await writeFile(join(home, 'audit/tmp/half'), 'half a tile')
    expect(await verifyFolder(join(home, 'audit'))).toMatchObject({ ok: true })
    await (await open()).close()
    expect(await readdir(join(home, 'audit/tmp'))).toEqual([])
    expect(await readdir(join(home, 'audit/tile/entries'))).toEqual(expect.arrayContaining(['000', '001', '002', '003']))
    expect(await verifyFolder(join(home, 'audit'))).toMatchObject({ ok: true, records: 1204 })
  })
})

test('a log whose edge is not that of its head is refused', async () => {
  const log = await open()
  await log.append([refusal('a')])
  await log.close()
  const database = new DatabaseSync(join(home, 'audit/log.sqlite'))
  database.prepare('UPDATE head SET root = ?').run(Buffer.alloc(32, 7))
  database.close()
  await expect(open()).rejects.toThrow(/The audit log is broken/)
})

test('a log of a former version is noticed', async () => {
  await open()
  expect(await hasFormerLog(join(home, 'audit'))).toBe(false)
  await writeFile(join(home, 'audit/audit.log'), '')
  expect(await hasFormerLog(join(home, 'audit'))).toBe(true)
})
