import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LogUnusableError } from '../../services/audit/open-log.ts'
import { openTestLog, refusal } from '../../services/audit/test-support/open-test-log.ts'
import { acknowledgedBy, type Appender, appendTo, expectWhole, refusedBy } from './support/audit-log.ts'

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

test('a folder on a full disk: appends are refused, nothing is lost, and it goes on by itself once there is room', async () => {
  const folder = join(home, 'audit')
  await mkdir(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', folder])
  try {
    const appender = start()
    await appender.says((said) => refusedBy(said).length > 0)
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
