import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LogUnusableError } from '../../services/audit/open-log.ts'
import { openTestLog, refusal } from '../../services/audit/test-support/open-test-log.ts'
import { acknowledgedBy, type Appender, appendTo, expectWhole } from './support/audit-log.ts'

let home: string
const running: Appender[] = []
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'audit-faults-'))))
afterEach(async () => {
  for (const { process: child, ended } of running.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
  await rm(home, { recursive: true, force: true })
})

function start(options?: Parameters<typeof appendTo>[1]): Appender {
  const appender = appendTo(home, options)
  running.push(appender)
  return appender
}

test('kill -9 loses no record that was acknowledged', async () => {
  const acknowledged = new Map<number, string>()
  for (const wait of [1, 40, 300, 900, 3000]) {
    const appender = start()
    await appender.says((said) => said.length > wait)
    appender.process.kill('SIGKILL')
    await appender.ended
    for (const [index, name] of acknowledgedBy(appender.said)) acknowledged.set(index, name)
    await expectWhole(home, acknowledged)
  }
  expect(acknowledged.size).toBeGreaterThan(4000)
})

async function makeLog(): Promise<void> {
  const log = await openTestLog(home)
  await log.close()
}

// Node.js's SQLite syncs with fsync, not fdatasync.
const syscalls = ['pwrite64', 'write', 'fsync', 'rename', 'unlink', 'ftruncate', 'mkdir', 'openat'] as const
const hasStrace = ((): boolean => {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

describe.runIf(hasStrace)('a system call on the log that fails', () => {
  /** Counts per thread, as strace does; only calls on files of the log count. */
  function straced(syscall: string, how: string): string[] {
    const paths = ['audit/log.sqlite', 'audit/log.sqlite-wal', 'audit-key/.signed.json.new', 'audit-key/signed.json'].flatMap((path) => ['-P', join(home, path)])
    // Folders and temporary files have names that change: they are told by the call alone.
    const onPaths = ['pwrite64', 'write', 'ftruncate'].includes(syscall)
    return ['strace', '-f', '-qq', '-o', join(home, 'trace'), '-e', `trace=${syscall}`, '-e', `inject=${syscall}:${how}`, ...(onPaths ? paths : [])]
  }

  async function fired(): Promise<boolean> {
    return (await readFile(join(home, 'trace'), 'utf8')).includes('(INJECTED)')
  }

  const errors = ['EIO', 'ENOSPC'].flatMap((error) => (['pwrite64', 'fsync', 'rename'] as const).flatMap((syscall) => [1, 2, 3, 5, 9, 30].filter((when) => syscall !== 'rename' || when < 9).map((when) => [error, syscall, when] as const)))
  test.each(errors)('%s of %s number %i, once: nothing acknowledged is lost, and it goes on', async (error, syscall, when) => {
    // The folder is there, so that the faults hit a log at work.
    await makeLog()
    const appender = start({ prefix: straced(syscall, `error=${error}:when=${when}`), most: 600 })
    const status = await appender.ended
    expect(await fired()).toBe(true)
    const acknowledged = acknowledgedBy(appender.said)
    await expectWhole(home, acknowledged)
    // Where it could not even start, or not trust what it read, the next process does.
    if (status !== 0) expect(appender.said.filter((line) => line === 'failed').length + (appender.said.includes('open') ? 0 : 1)).toBe(1)
    const log = await openTestLog(home)
    await log.append([refusal('after')])
    await log.close()
    await expectWhole(home, acknowledged)
  })

  const kills = syscalls.flatMap((syscall) => [1, 2, 4, 8, 16, 40].map((when) => [syscall, when] as const))
  test.each(kills)('killed at %s number %i: nothing acknowledged is lost', async (syscall, when) => {
    const onStart = syscall === 'mkdir' || syscall === 'openat' || syscall === 'write'
    if (!onStart) await makeLog()
    const appender = start({ prefix: straced(syscall, `signal=SIGKILL:when=${when}`), most: 600 })
    const ended = await appender.ended
    const acknowledged = acknowledgedBy(appender.said)
    // Of some calls there are not so many: then it has ended by itself, whole.
    expect(ended === 0 || (await fired()) || (await readFile(join(home, 'trace'), 'utf8')).includes('killed by SIGKILL')).toBe(true)
    const log = await openTestLog(home, { lockWaitMs: 5000 })
    await log.append([refusal('after')])
    await log.close()
    await expectWhole(home, acknowledged)
  })
})

test('a folder on a full disk: appends are refused, nothing is lost, and it goes on by itself once there is room', async () => {
  const folder = join(home, 'audit')
  await mkdir(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', folder])
  try {
    const appender = start()
    await appender.says((said) => said.includes('refused'))
    const before = acknowledgedBy(appender.said)
    execFileSync('mount', ['-o', 'remount,size=4m', folder])
    await appender.says((said) => acknowledgedBy(said).size > before.size + 100)
    appender.process.stdin?.end()
    expect(await appender.ended).toBe(0)
    await expectWhole(home, acknowledgedBy(appender.said))
  } finally {
    execFileSync('umount', ['-l', folder])
  }
})

test('two at once: the second waits, and takes over when the first dies', async () => {
  const first = start()
  await first.says((said) => said.length > 50)
  await expect(openTestLog(home)).rejects.toThrow(LogUnusableError)
  const second = start()
  first.process.kill('SIGKILL')
  await second.says((said) => said.length > 50)
  second.process.stdin?.end()
  expect(await second.ended).toBe(0)
  await expectWhole(home, new Map([...acknowledgedBy(first.said), ...acknowledgedBy(second.said)]))
})

test('an old copy of the log that was restored is noticed, and not continued', async () => {
  const log = await openTestLog(home)
  await log.append([refusal('a')])
  await log.close()
  await cp(join(home, 'audit'), join(home, 'old'), { recursive: true })
  const further = await openTestLog(home)
  await further.append([refusal('b')])
  await further.close()
  await rm(join(home, 'audit'), { recursive: true })
  await cp(join(home, 'old'), join(home, 'audit'), { recursive: true })
  await expect(openTestLog(home)).rejects.toThrow(/has 3 records, but one of 6 was signed: it was restored from an old copy/)
  // Nor with another key.
  const other = await openTestLog(home, { keyFolder: join(home, 'other-key') }).catch((thrown: unknown) => thrown)
  expect(String(other)).toContain('The key that signs the audit log is missing')
})

test('a process that is stopped under load loses nothing that it acknowledged, and goes on', async () => {
  const appender = start({ limitMs: 300 })
  await appender.says((said) => said.length > 200)
  for (let round = 0; round < 3; round += 1) {
    appender.process.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 500)) // longer than an append may take
    appender.process.kill('SIGCONT')
    const before = acknowledgedBy(appender.said).size
    await appender.says((said) => acknowledgedBy(said).size > before + 100)
  }
  appender.process.stdin?.end()
  expect(await appender.ended).toBe(0)
  await expectWhole(home, acknowledgedBy(appender.said))
})
