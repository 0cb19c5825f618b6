import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestLog, refusal } from '../../services/audit/test-support/open-test-log.ts'
import { recordsIn } from '../support/records.ts'
import { acknowledgedBy, type Appender, appendTo, expectWhole, refusedBy } from './support/audit-log.ts'
import { type CallKind, type Fault, firedIn, hasStrace, injecting, temporaryFiles } from './support/inject.ts'

interface Kind extends CallKind {
  name: string
  /** Which calls of the kind, from 1: some at the first, one within, and one late. */
  at: readonly number[]
  /** Of the first start: there is no log yet. */
  atFirst?: boolean
  /** Errors that a disk gives for it; every kind is tried with SIGKILL too. */
  errors: readonly Fault[]
  /** Records to append; 600: tiles become full and are moved out. */
  most?: number
}

/** Each call with which SQLite and the writer of files change the log's folders or make that durable: all that strace shows of a run. */
const kinds: readonly Kind[] = [
  { name: 'write of the WAL', call: 'pwrite64', paths: ['audit/log.sqlite-wal'], at: [1, 2, 6, 40, 150], errors: ['EIO', 'ENOSPC'] },
  { name: 'sync of the WAL', call: 'fsync', paths: ['audit/log.sqlite-wal'], at: [1, 2, 12], errors: ['EIO', 'ENOSPC'] },
  { name: 'write of the database, as the WAL is checkpointed', call: 'pwrite64', paths: ['audit/log.sqlite'], at: [1, 5], errors: ['EIO'], most: 4000 },
  { name: 'sync of the database', call: 'fsync', paths: ['audit/log.sqlite'], at: [1], errors: ['EIO'], most: 4000 },
  { name: 'write of a file', call: 'write', paths: temporaryFiles, at: [1, 2, 8], errors: ['EIO', 'ENOSPC'] },
  { name: 'sync of a file', call: 'fsync', paths: temporaryFiles, at: [1, 5], errors: ['EIO'] },
  { name: 'making of a file', call: 'openat', paths: temporaryFiles, at: [3], errors: ['ENOSPC'] },
  { name: 'rename of a file', call: 'rename', paths: temporaryFiles, at: [1, 2, 3, 8], errors: ['EIO'] },
  { name: 'sync of a folder', call: 'fsync', paths: ['audit', 'audit/tile', 'audit/tile/0', 'audit/tile/entries'], at: [1, 2, 5], errors: ['EIO'] },
  { name: 'making of a folder', call: 'mkdir', paths: ['audit/tmp', 'audit/tile', 'audit/tile/0', 'audit/tile/entries', 'audit/tile/entries/000.p'], at: [1, 2, 3], atFirst: true, errors: ['ENOSPC'] },
  { name: 'removal of what a full tile replaces', call: 'unlinkat', paths: ['audit/tile/0/000.p', 'audit/tile/entries/000.p'], at: [1, 2], errors: ['EIO'] },
  { name: 'removal of its folder', call: 'rmdir', paths: ['audit/tile/0/000.p', 'audit/tile/entries/000.p'], at: [1], errors: ['EIO'] },
  { name: 'write of what was signed', call: 'write', paths: ['audit-key/.signed.json.new'], at: [1, 2], errors: ['ENOSPC'] },
  { name: 'sync of what was signed', call: 'fsync', paths: ['audit-key/.signed.json.new', 'audit-key'], at: [1, 2], errors: ['EIO'] },
  { name: 'rename of what was signed', call: 'rename', paths: ['audit-key/.signed.json.new'], at: [1, 2], errors: ['EIO'] },
  { name: 'making of the database and the lock', call: 'openat', paths: ['audit/log.sqlite', 'audit/lock', 'audit/log.sqlite-wal', 'audit/log.sqlite-shm'], at: [1, 2], atFirst: true, errors: ['EIO'] },
  { name: "write of the first database or a journal", call: 'pwrite64', paths: ['audit/lock-journal', 'audit/log.sqlite-journal', 'audit/log.sqlite'], at: [1, 2, 3], atFirst: true, errors: ['ENOSPC'] },
  { name: 'sync of a journal', call: 'fsync', paths: ['audit/lock-journal', 'audit/log.sqlite-journal'], at: [1, 2], atFirst: true, errors: ['EIO'] },
  { name: 'removal of a journal', call: 'unlink', paths: ['audit/lock-journal', 'audit/log.sqlite-journal'], at: [1], atFirst: true, errors: ['EIO'] },
  { name: 'write of the new key', call: 'write', paths: ['audit-key/.log.key.new', 'audit-key/.log.pub.new'], at: [1, 2], atFirst: true, errors: ['ENOSPC'] },
  { name: 'link of the new key', call: 'link', paths: ['audit-key/log.key'], at: [1], atFirst: true, errors: ['EIO'] },
  { name: "removal of the new key's other name", call: 'unlink', paths: ['audit-key/.log.key.new'], at: [1], atFirst: true, errors: ['EIO'] },
]

let home: string
let trace: string
const running: Appender[] = []
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'audit-injected-'))
  home = join(folder, 'home')
  trace = join(folder, 'trace')
})
afterEach(async () => {
  for (const { process: child, ended } of running.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
  await rm(join(home, '..'), { recursive: true, force: true })
})

function start(kind: CallKind, fault: Fault, when: Parameters<typeof injecting>[2], most: number, limitMs = 5000): Appender {
  const appender = appendTo(home, { prefix: injecting(kind, fault, when, { home, trace }), preload: ['fixed-names.ts'], limitMs, most })
  running.push(appender)
  return appender
}

/** Its status; an appender that hangs is a failure of its own. */
async function endOf(appender: Appender, what: string): Promise<number | NodeJS.Signals> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`${what}: it did not end:\n${appender.said.slice(-5).join('\n')}`)), 60_000)))
  return await Promise.race([appender.ended, late]).finally(() => clearTimeout(timer))
}

/** In the next process. */
async function expectGoesOn(acknowledged: ReadonlyMap<number, string>): Promise<void> {
  const log = await openTestLog(home, { lockWaitMs: 5000 })
  const index = await log.append([refusal('after')])
  await log.close()
  await expectWhole(home, new Map([...acknowledged, [index, 'after']]))
}

describe.runIf(hasStrace)('a system call on the log that fails, or in which the process is killed', () => {
  test.each(kinds)('$name ($call, number $at)', async (kind) => {
    const { at, errors, atFirst = false, most = 600 } = kind
    let fired = 0
    const faults: Fault[] = [...errors, 'SIGKILL']
    for (const fault of faults) {
      for (const when of at) {
        const what = `${fault} at ${kind.name} number ${when}`
        await rm(home, { recursive: true, force: true })
        if (!atFirst) await (await openTestLog(home)).close()
        const appender = start(kind, fault, when, most)
        const status = await endOf(appender, what)
        // Each thread has a first, a second …
        expect(firedIn(trace), what).toBeGreaterThanOrEqual(1)
        fired += 1
        if (fault === 'SIGKILL') expect(status, what).toBe('SIGKILL')
        // What could not even start, or not trust what it read, says so; the next process goes on.
        else if (status !== 0) expect(appender.said.includes('failed') || !appender.said.includes('open'), `${what}: ${status}`).toBe(true)
        const acknowledged = acknowledgedBy(appender.said)
        if (status === 0) expect(acknowledged.size, what).toBeGreaterThanOrEqual(most)
        // Before the first record there may be no log to check.
        if (!atFirst || acknowledged.size > 0) await expectWhole(home, acknowledged)
        await expectGoesOn(acknowledged)
      }
    }
    expect(fired).toBe(faults.length * at.length)
  })

  test('failed, and not stored: what a full disk refused is not in the log', async () => {
    await (await openTestLog(home)).close()
    const appender = start({ call: 'pwrite64', paths: ['audit/log.sqlite-wal'] }, 'ENOSPC', '60+', 600)
    await appender.says((said) => refusedBy(said).length > 40)
    appender.process.kill('SIGTERM')
    await appender.ended
    expect(firedIn(trace)).toBeGreaterThan(0)
    await expectWhole(home, acknowledgedBy(appender.said))
    const there = new Set((await recordsIn(join(home, 'audit'))).map((record) => record['instance']))
    expect(refusedBy(appender.said).filter((name) => there.has(name))).toEqual([])
  })

  test('failed, but stored: what was refused because a sync took too long is found in the log, and nothing behind it is lost', async () => {
    await (await openTestLog(home)).close()
    const appender = start({ call: 'fsync', paths: ['audit/log.sqlite-wal'] }, 'slow', 12, 600, 400)
    expect(await endOf(appender, 'a slow sync')).toBe(0)
    expect(firedIn(trace)).toBeGreaterThan(0)
    const acknowledged = acknowledgedBy(appender.said)
    expect(acknowledged.size).toBeGreaterThanOrEqual(600)
    await expectWhole(home, acknowledged)
    const records = await recordsIn(join(home, 'audit'))
    const there = new Set(records.map((record) => record['instance']))
    expect(refusedBy(appender.said).filter((name) => there.has(name)).length).toBeGreaterThan(0)
    expect(records.find((record) => record['type'] === 'log.gap')).toMatchObject({ reason: 'slow' })
    await expectGoesOn(acknowledged)
  })

  test('a disk that syncs nothing any more, then a crash: nothing acknowledged is lost', async () => {
    await (await openTestLog(home)).close()
    const appender = start({ call: 'fsync', paths: ['audit/log.sqlite-wal'] }, 'EIO', '20+', 600)
    await appender.says((said) => refusedBy(said).length > 40)
    appender.process.kill('SIGTERM')
    await appender.ended
    expect(firedIn(trace)).toBeGreaterThan(0)
    const acknowledged = acknowledgedBy(appender.said)
    expect(acknowledged.size).toBeGreaterThan(0)
    await expectWhole(home, acknowledged)
    await expectGoesOn(acknowledged)
  })
})
