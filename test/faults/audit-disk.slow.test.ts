import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chatBody, events, open, type Reply, send, type StreamEvent } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'
import { runProgram } from '../support/run-program.ts'
import { environment } from './support/alone.ts'
import { disturb } from './support/inject.ts'

const root = join(import.meta.dirname, '../..')
const appendTimeoutSeconds = 2
/** A request waits for its record at most as long as an append may take; the rest is for a busy machine. */
const boundMs = appendTimeoutSeconds * 1000 + 8000
const clock = join(import.meta.dirname, 'support/set-clock-back.ts')

let platform: Platform
let folder: string

/** The four services; the log lies on a disk of its own, which the tests fill and take away. */
beforeAll(async () => {
  platform = await startPlatform({
    workers: [{ tokens: 100, delayMs: 40, slots: 8 }],
    env: { INTRAMUROS_AUDIT_APPEND_TIMEOUT_SECONDS: String(appendTimeoutSeconds), INTRAMUROS_AUDIT_END_TIMEOUT_SECONDS: '3' },
    envOf: { audit: { NODE_OPTIONS: `--import ${clock}` } },
    prepare(home) {
      folder = join(home, 'audit')
      mkdirSync(folder, { mode: 0o700 })
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'none', folder])
    },
  })
})
afterAll(async () => {
  execFileSync('umount', ['-l', folder])
  await platform.stop()
})

const wal = (): string => join(folder, 'log.sqlite-wal')
const remount = (options: string): void => void execFileSync('mount', ['-o', `remount,${options}`, folder])
const ask = (): Promise<Reply> => send(platform, chatBody(platform, { max_tokens: 1 }))

async function timed(): Promise<{ reply: Reply; ms: number }> {
  const began = performance.now()
  const reply = await ask()
  return { reply, ms: performance.now() - began }
}

async function expectRefusals(): Promise<void> {
  for (const { reply, ms } of await Promise.all([timed(), timed(), timed()])) {
    expect([reply.status, reply.text]).toEqual([503, expect.stringContaining('audit_unavailable')])
    expect(ms).toBeLessThan(boundMs)
  }
}

const answers = (): Promise<void> => until(async () => (await ask()).status === 200, 'answers again', 60_000)

async function expectVerified(): Promise<void> {
  const command = [join(root, 'services/cli/main.ts'), 'audit', 'verify', '--folder', folder, '--key', join(platform.home, 'audit-key/log.pub')]
  expect(await runProgram(process.execPath, command, { timeoutMs: 60_000 })).toContain('intact')
}

/** What holds whatever is wrong with the disk, the clock or the service: `begin` causes it, `end` takes it away. */
async function goThrough({ begin, end }: { begin: () => Promise<unknown>; end: () => Promise<unknown> }): Promise<Record<string, unknown>[]> {
  const before = (await auditRecords(platform.home)).length
  const auditPid = platform.process('audit').pid
  const { response } = await open(platform, chatBody(platform, { stream: true }))
  const stream = events(response)
  await stream.next()
  let last: StreamEvent | undefined
  await begin()
  try {
    await expectRefusals()
    for await (const event of stream) last = event
    expect(last?.error?.code).toBe('audit_unavailable')
    await expectRefusals()
  } finally {
    await end()
  }
  await answers()
  const ended = async (id: unknown): Promise<boolean> => (await auditRecords(platform.home)).some((record) => record['type'] === 'request.end' && record['requestId'] === id)
  await until(() => ended(response.headers['x-request-id']), 'the late end of the stream')
  const answered = await ask()
  expect([answered.status, answered.text]).toEqual([200, expect.anything()])
  expect(await ended(answered.headers['x-request-id'])).toBe(true)
  expect([platform.process('audit').pid, platform.process('audit').exitCode]).toEqual([auditPid, null])
  await expectVerified()
  return (await auditRecords(platform.home)).slice(before).filter((record) => record['type'] === 'log.gap')
}

test('a full disk', async () => {
  const gaps = await goThrough({
    async begin() {
      const { blocks, bfree, bsize } = await statfs(folder)
      remount(`size=${(blocks - bfree + 4) * bsize}`)
      await until(async () => (await ask()).status === 503, 'the disk to be full')
    },
    end: async () => remount('size=32m'),
  })
  expect(gaps[0]).toMatchObject({ reason: 'disk_full' })
  expect(Number(gaps[0]?.['refused'])).toBeGreaterThanOrEqual(6)
})

test('a disk that fails', async () => {
  let fault: Awaited<ReturnType<typeof disturb>>
  const gaps = await goThrough({
    begin: async () => (fault = await disturb(platform.process('audit').pid, 'fsync', 'error=EIO', wal())),
    end: () => fault.end(),
  })
  expect(gaps[0]).toMatchObject({ reason: 'io_error' })
})

test('a disk that has become read-only under the service', async () => {
  let fault: Awaited<ReturnType<typeof disturb>>
  const gaps = await goThrough({
    // A system that remounts after an error answers so; by hand none is remounted while files are open.
    begin: async () => (fault = await disturb(platform.process('audit').pid, 'pwrite64', 'error=EROFS', wal())),
    end: () => fault.end(),
  })
  // SQLite tells a write that failed, not why.
  expect(gaps[0]).toMatchObject({ reason: expect.stringMatching(/^(io_error|read_only)$/) as string })
})

test('a disk that hangs', async () => {
  let fault: Awaited<ReturnType<typeof disturb>>
  const gaps = await goThrough({
    begin: async () => (fault = await disturb(platform.process('audit').pid, 'fsync', 'delay_enter=600s', wal())),
    end: () => fault.end(),
  })
  expect(gaps[0]).toMatchObject({ reason: 'slow' })
})

test('a disk that is slow, but not too slow: requests wait for it, and none is refused', async () => {
  const fault = await disturb(platform.process('audit').pid, 'fsync', 'delay_enter=200ms', wal())
  try {
    const replies = await Promise.all([timed(), timed(), timed(), timed()])
    expect(replies.map(({ reply }) => reply.status)).toEqual([200, 200, 200, 200])
    // Its begin and its end are synced.
    expect(Math.min(...replies.map(({ ms }) => ms))).toBeGreaterThan(390)
  } finally {
    await fault.end()
  }
  await expectVerified()
})

test('a clock that is set back by an hour', async () => {
  const turn = async (): Promise<void> => void platform.process('audit').kill('SIGUSR2')
  const gaps = await goThrough({ begin: turn, end: turn })
  expect(gaps[0]).toMatchObject({ reason: 'clock_behind' })
  const times = (await auditRecords(platform.home)).map((record) => String(record['at']))
  expect(times).toEqual(times.toSorted())
})

test('an audit service that is stopped', { timeout: 120_000 }, async () => {
  const gaps = await goThrough({
    begin: async () => platform.process('audit').kill('SIGSTOP'),
    end: async () => platform.process('audit').kill('SIGCONT'),
  })
  expect(gaps).toContainEqual(expect.objectContaining({ reason: 'slow' }))
})

/** The audit service by itself over a state folder. */
async function runAudit(home: string): Promise<{ status: number | null; output: string }> {
  const child = spawn(process.execPath, ['services/audit/main.ts'], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment(home), INTRAMUROS_AUDIT_LISTEN: '127.0.0.1:0', INTRAMUROS_AUDIT_METRICS_PORT: '0' } })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const limit = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const [status] = (await once(child, 'close')) as [number | null]
  clearTimeout(limit)
  return { status, output }
}

test('a second audit service over the same folder ends with status 65, and the first goes on', async () => {
  const second = await runAudit(platform.home)
  expect(second.output).toContain('is being written by another process')
  expect(second.status).toBe(65)
  expect((await ask()).status).toBe(200)
  await expectVerified()
})

test('a folder that is read-only when the service starts: requests get 503; once it is not, the next start serves', async () => {
  await platform.kill('audit')
  remount('ro')
  try {
    await expect(platform.restart('audit')).rejects.toThrow(/EROFS|read-?only/)
    await expectRefusals()
  } finally {
    remount('rw')
  }
  await platform.restart('audit')
  await answers()
  await expectVerified()
})

test('an old copy of the log that was restored: the service ends with status 65, nothing is answered, and the newest copy mends it', async () => {
  const kept = await mkdtemp(join(tmpdir(), 'audit-kept-'))
  const put = async (copy: string): Promise<void> => {
    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true })
    await cp(copy, folder, { recursive: true })
  }
  try {
    for (const name of ['old', 'newest']) {
      expect((await ask()).status).toBe(200)
      expect(await platform.drain('audit', 10_000)).toBe(0)
      await mkdir(join(kept, name))
      await cp(folder, join(kept, name), { recursive: true })
      if (name === 'newest') break
      await platform.restart('audit')
      await answers()
    }
    await put(join(kept, 'old'))
    const { status, output } = await runAudit(platform.home)
    expect(output).toContain('it was restored from an old copy')
    expect(status).toBe(65)
    await expectRefusals()
    await put(join(kept, 'newest'))
    await platform.restart('audit')
    await answers()
    await expectVerified()
  } finally {
    await rm(kept, { recursive: true })
  }
})
