import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync, openSync, statSync } from 'node:fs'
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AuditLog, type LogOptions, openLog } from './log.ts'
import { decodeLine, encodeLine, type Entry, hashLine, type LogRecord } from './record.ts'
import { LogUnusableError } from './recover.ts'
import { verifyLog } from './verify.ts'

let home: string
let folder: string
const opened: AuditLog[] = []
const children: ChildProcess[] = []

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'audit-log-'))
  folder = join(home, 'audit')
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map((log) => log.close()))
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  await rm(home, { recursive: true })
})

const quiet = () => undefined
const at = '2026-11-22T21:10:00.123Z'

async function openHere(options: Partial<LogOptions> = {}): Promise<AuditLog> {
  const log = await openLog({
    folder,
    lockWaitMs: 0,
    clock: () => Date.parse(at),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    metrics: { group: quiet },
    onRecord: quiet,
    onFailed: quiet,
    ...options,
  })
  opened.push(log)
  return log
}

function interrupted(requestId: string): Entry {
  return { type: 'end', requestId, outcome: 'interrupted' }
}

async function text(): Promise<string> {
  return readFile(join(folder, 'audit.log'), 'latin1')
}

async function records(): Promise<(LogRecord | undefined)[]> {
  return (await text()).split('\n').slice(0, -1).map(decodeLine)
}

/** Takes back the mark of a clean end, as if the process had died. */
async function crash(log: AuditLog, count?: number): Promise<void> {
  const head = await readFile(join(folder, 'head.json'), 'latin1')
  const lines = (await text()).split(/(?<=\n)/).slice(0, count)
  await log.close()
  const older = JSON.stringify({ count: lines.length, bytes: lines.join('').length, hash: hashLine(lines.at(-1) ?? ''), closed: false })
  await writeFile(join(folder, 'head.json'), count === undefined ? head : `${older.padEnd(191)}\n`)
}

interface Child {
  process: ChildProcess
  /** What it has said so far; complete once `ended` resolves. */
  said: string[]
  says(what: (said: string[]) => boolean): Promise<void>
  ended: Promise<unknown>
}

function run(mode: string, limit = ''): Child {
  const script = fileURLToPath(new URL('../test-children/append.ts', import.meta.url))
  const child = spawn('sh', ['-c', `${limit} exec "$0" "$@"`, process.execPath, script, mode, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const said: string[] = []
  const waiting: { what: (said: string[]) => boolean; resolve: () => void }[] = []
  const lines = createInterface(child.stdout)
  lines.on('line', (line) => {
    said.push(line)
    for (const { what, resolve } of waiting) if (what(said)) resolve()
  })
  return {
    process: child,
    said,
    says: (what) => (what(said) ? Promise.resolve() : new Promise((resolve) => waiting.push({ what, resolve }))),
    ended: once(lines, 'close'),
  }
}

describe('append', () => {
  test('chains the records and gives their places', async () => {
    const log = await openHere()
    expect(await log.append([interrupted('a'), interrupted('b')])).toBe(0)
    expect(await log.append([interrupted('c')])).toBe(2)
    expect(await records()).toMatchObject([{ seq: 0, at, requestId: 'a' }, { seq: 1, requestId: 'b' }, { seq: 2, requestId: 'c' }])
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 3, beyondHead: 0 })
    await log.close()
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 3 })
  })

  test('makes what waits together durable together, in order, each append whole', async () => {
    const groups: number[] = []
    const log = await openHere({ metrics: { group: ({ entries }) => groups.push(entries.length) } })
    const places = await Promise.all(Array.from({ length: 300 }, (_, index) => log.append([interrupted(`${index}-a`), interrupted(`${index}-b`)])))
    expect(places).toEqual(places.map((_, index) => index * 2))
    expect(groups).toEqual([600])
    expect((await records()).map((record) => record?.requestId)).toEqual(places.flatMap((_, index) => [`${index}-a`, `${index}-b`]))
  })

  test('bounds a group, but never splits an append', async () => {
    const groups: number[] = []
    const log = await openHere({ metrics: { group: ({ entries }) => groups.push(entries.length) } })
    const large = Array.from({ length: 5000 }, (_, index) => interrupted(`${index}`))
    const places = await Promise.all([log.append([interrupted('x')]), log.append(large), log.append([interrupted('y')])])
    expect(places).toEqual([0, 1, 5001])
    expect(groups).toEqual([1, 5000, 1])
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 5002 })
  })

  test('is refused once the log is closed, after what was under way', async () => {
    const log = await openHere()
    const last = log.append([interrupted('a')])
    const closed = log.close()
    await expect(log.append([interrupted('b')])).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'audit_unavailable' })
    expect(await last).toBe(0)
    await closed
    expect(await records()).toHaveLength(1)
  })

  test('the files can be read by their owner alone', async () => {
    await openHere()
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    for (const name of ['audit.log', 'head.json', 'lock']) expect((await stat(join(folder, name))).mode & 0o777, name).toBe(0o600)
  })
})

describe('open', () => {
  test('goes on where a closed log ended', async () => {
    const first = await openHere()
    await first.append([interrupted('a')])
    await first.close()
    const seen: string[] = []
    const log = await openHere({ onRecord: ({ requestId }) => seen.push(requestId) })
    expect(seen).toEqual(['a'])
    expect(log.recovered).toMatchObject({ adopted: 0, cutBytes: 0 })
    expect(await log.append([interrupted('b')])).toBe(1)
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 2 })
  })

  test('takes back the mark of a clean end before anything is appended', async () => {
    const first = await openHere()
    await first.append([interrupted('a')])
    await first.close()
    const head = (): Promise<unknown> => readFile(join(folder, 'head.json'), 'utf8').then(JSON.parse)
    expect(await head()).toMatchObject({ count: 1, closed: true })
    await openHere()
    expect(await head()).toMatchObject({ count: 1, closed: false })
  })

  test('keeps what a crash left beyond the head, and cuts what it tore', async () => {
    const first = await openHere()
    await first.append([interrupted('a'), interrupted('b'), interrupted('c')])
    await crash(first, 1)
    await appendFile(join(folder, 'audit.log'), '{"seq":3,"at":"20')
    const log = await openHere()
    expect(log.recovered).toMatchObject({ log: { count: 3 }, adopted: 2, cutBytes: 17 })
    expect(await log.append([interrupted('d')])).toBe(3)
    expect((await records()).map((record) => record?.requestId)).toEqual(['a', 'b', 'c', 'd'])
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 4, beyondHead: 0, tornBytes: 0 })
  })

  test.each(['audit.log', 'head.json'])('creates %s anew when it died before any record', async (name) => {
    await (await openHere()).close()
    await crash(await openHere())
    // The head is made first: a log without one is no log that a crash left.
    await rm(join(folder, 'audit.log'))
    if (name === 'head.json') await rm(join(folder, 'head.json'))
    expect(await (await openHere()).append([interrupted('a')])).toBe(0)
  })

  test.each<[string, (lines: string[]) => string[], string]>([
    ['a changed record', (lines) => lines.map((line, index) => (index === 1 ? line.replace('"b"', '"x"') : line)), 'Record 1 was changed.'],
    ['a removed record', (lines) => lines.toSpliced(1, 1), 'Record 1 was removed.'],
    ['a removed end', (lines) => lines.slice(0, 2), 'Record 2 was removed: the log ends before.'],
    ['an added record', (lines) => [...lines, `${encodeLine(3, at, interrupted('x'), hashLine(lines[2] ?? ''))}\n`], 'Record 3 was added: the log was closed before it.'],
  ])('refuses a log with %s, and leaves it as it is', async (_, change, message) => {
    const first = await openHere()
    await first.append(['a', 'b', 'c'].map(interrupted))
    await first.close()
    const changed = change((await text()).split(/(?<=\n)/)).join('')
    await writeFile(join(folder, 'audit.log'), changed)
    await expect(openHere()).rejects.toThrow(LogUnusableError)
    await expect(openHere()).rejects.toThrow(message)
    await expect(openHere()).rejects.toThrow('move the folder aside')
    expect(await text()).toBe(changed)
    await rm(folder, { recursive: true })
    expect(await (await openHere()).append([interrupted('a')])).toBe(0)
  })

  test('refuses a log whose head is gone', async () => {
    const first = await openHere()
    await first.append([interrupted('a')])
    await first.close()
    await rm(join(folder, 'head.json'))
    await expect(openHere()).rejects.toThrow('head.json was removed')
  })

  test('refuses a log that is open, in this process and in another', async () => {
    const log = await openHere()
    await expect(openHere()).rejects.toThrow('is being written by another process')
    await expect(openHere({ lockWaitMs: 60 })).rejects.toThrow('is being written by another process')
    await log.close()
    const child = run('hold')
    await child.says((said) => said.includes('open'))
    await expect(openHere()).rejects.toThrow('is being written by another process')
  })

  test('waits for a predecessor that is dying', async () => {
    const child = run('hold')
    await child.says((said) => said.includes('open'))
    const log = openHere({ lockWaitMs: 20_000 })
    child.process.kill('SIGKILL')
    expect(await (await log).append([interrupted('a')])).toBe(0)
  })
})

test('kill -9 loses no record that was acknowledged', { timeout: 60_000 }, async () => {
  const acknowledged = new Map<number, string>()
  for (const wait of [1, 40, 300, 900]) {
    const child = run('forever')
    await child.says((said) => said.length > wait)
    child.process.kill('SIGKILL')
    await child.ended
    for (const line of child.said) {
      const [index, requestId] = line.split(' ')
      if (requestId !== undefined) acknowledged.set(Number(index), requestId)
    }
    expect(await verifyLog(folder)).toMatchObject({ ok: true })
  }
  const log = await openHere()
  const stored = await records()
  expect(stored).toHaveLength(log.recovered.log.count)
  expect(acknowledged.size).toBeGreaterThan(1000)
  for (const [index, requestId] of acknowledged) expect(stored[index]?.requestId).toBe(requestId)
})

describe('a full disk', () => {
  test('refuses the appends, leaves nothing of them, and goes on with what fits', { timeout: 60_000 }, async () => {
    // The shell's limit is in blocks of 512 or 1024 bytes. A write beyond it fails in part, then wholly, as on a full disk.
    const child = run('fill', 'ulimit -f 200;')
    await child.ended
    expect(child.said).toEqual(['open', 'audit_unavailable', 'audit_unavailable', 'audit_unavailable', 'together true true', 'one false'])
    const result = await verifyLog(folder)
    expect(result).toMatchObject({ ok: true, beyondHead: 0, tornBytes: 0 })
    expect(result.ok && result.records % 50).toBe(1)
    expect(await (await openHere()).append([interrupted('a')])).toBe(result.ok ? result.records : -1)
  })
})

/** Puts another file in the place of the log behind the back of the process: writes to it succeed, and can't be synced. */
function loseDisk(): void {
  const { ino, dev } = statSync(join(folder, 'audit.log'))
  for (let fd = 3; fd < 1000; fd += 1) {
    try {
      const found = fstatSync(fd)
      if (found.ino !== ino || found.dev !== dev) continue
    } catch {
      continue // not open
    }
    closeSync(fd)
    expect(openSync('/dev/null', 'w')).toBe(fd) // the lowest free one
    return
  }
  throw new Error('The log is not open.')
}

test('a failed sync ends the log for this process, and the next one goes on', async () => {
  let failed = 0
  const first = await openHere({ onFailed: () => (failed += 1) })
  await first.append([interrupted('a')])
  loseDisk()
  const appends = [first.append([interrupted('b')]), first.append([interrupted('c')])]
  for (const append of appends) await expect(append).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'audit_unavailable' })
  await expect(first.append([interrupted('d')])).rejects.toMatchObject({ reason: 'audit_unavailable' })
  expect([failed, first.usable]).toEqual([1, false])
  await first.close()
  const log = await openHere()
  expect(log.recovered.log).toMatchObject({ count: 1 })
  expect(await log.append([interrupted('e')])).toBe(1)
})

test('a log that is cut while it is written is noticed', async () => {
  const log = await openHere()
  await log.append(['a', 'b', 'c'].map(interrupted))
  await truncate(join(folder, 'audit.log'), (await text()).split('\n').slice(0, 2).join('\n').length + 1)
  expect(await verifyLog(folder)).toMatchObject({ ok: false, kind: 'removed', position: 2 })
})

test('a log can be verified while it is written', async () => {
  const log = await openHere()
  let writing = true
  const lanes = Array.from({ length: 8 }, async (_, lane) => {
    for (let turn = 0; writing; turn += 1) await log.append([interrupted(`${lane}-${turn}`)])
  })
  try {
    for (let check = 0; check < 20; check += 1) expect(await verifyLog(folder)).toMatchObject({ ok: true })
  } finally {
    writing = false
    await Promise.all(lanes)
  }
})
