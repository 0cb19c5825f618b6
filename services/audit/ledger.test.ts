import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLedger, type Ledger } from './ledger.ts'
import { type AuditLog, openLog } from './log/log.ts'
import type { BeginFields, EndFields, Entry } from './log/record.ts'
import { verifyLog } from './log/verify.ts'
import { createRequests } from './requests.ts'

/** A ledger over a real log, with timers that fire when the test says, and a disk that fails when it says. */
interface Bench {
  ledger: Ledger
  log: AuditLog
  /** Fires the timers that are set, as if their time had come. */
  timePasses(): Promise<void>
  timers: Set<() => void>
  fail: boolean
  openCounts: number[]
}

let folder: string
const opened: AuditLog[] = []
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'audit-ledger-'))))
afterEach(async () => {
  await Promise.all(opened.splice(0).map((log) => log.close()))
  await rm(folder, { recursive: true })
})

const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

async function start(): Promise<Bench> {
  const requests = createRequests()
  const real = await openLog({ folder, lockWaitMs: 0, clock: Date.now, log: logger, metrics: { group: quiet }, onRecord: requests.replay, onFailed: quiet })
  opened.push(real)
  const appends = new Set<Promise<number>>()
  const log: AuditLog = {
    ...real,
    append(entries: readonly Entry[]) {
      const appended = bench.fail ? Promise.reject(Object.assign(new Error('disk'), { reason: 'audit_unavailable' })) : real.append(entries)
      appends.add(appended)
      const over = () => void appends.delete(appended)
      appended.then(over, over)
      return appended
    },
  }
  const timers = new Set<() => void>()
  const openCounts: number[] = []
  const bench: Bench = {
    ledger: createLedger({
      log,
      requests,
      orphanMs: 1000,
      schedule(run_, ms) {
        expect(ms).toBe(1000)
        const run = () => run_()
        timers.add(run)
        return () => timers.delete(run)
      },
      logger,
      onOpen: (count) => openCounts.push(count),
    }),
    log,
    timers,
    fail: false,
    openCounts,
    async timePasses() {
      const due = [...timers]
      timers.clear()
      for (const run of due) run()
      // What the timers began is under way when they return; it ends with the appends.
      do {
        await Promise.allSettled(appends)
        await new Promise((resolve) => setImmediate(resolve))
      } while (appends.size > 0)
    },
  }
  return bench
}

async function restart(bench: Bench): Promise<Bench> {
  await bench.log.close()
  return start()
}

function begin(requestId: string, instance = 'gateway'): BeginFields {
  return { requestId, instance, team: 'default', keyId: 'key', model: 'm', endpoint: 'POST /v1', stream: false, requestBytes: 1 }
}

function end(requestId: string): EndFields {
  return {
    requestId, outcome: 'completed', finishReason: 'stop', error: '', inputTokens: 1, outputTokens: 1, responseBytes: 1, firstTokenUs: 1, durationUs: 1, worker: 'w',
  }
}

/** The log in short: "begin a", "completed a", "interrupted a". */
async function story(): Promise<string[]> {
  const text = await readFile(join(folder, 'audit.log'), 'latin1')
  expect(await verifyLog(folder)).toMatchObject({ ok: true })
  return text.split('\n').slice(0, -1).map((line) => {
    const record = JSON.parse(line) as { type: string; requestId: string; outcome?: string }
    return `${record.outcome ?? record.type} ${record.requestId}`
  })
}

describe('begin and end', () => {
  test('give the places of their records', async () => {
    const { ledger, openCounts } = await start()
    expect(await ledger.begin(begin('a'))).toBe(0)
    expect(await ledger.begin(begin('b'))).toBe(1)
    expect(await ledger.end(end('a'))).toBe(2)
    expect(await story()).toEqual(['begin a', 'begin b', 'completed a'])
    expect(openCounts).toEqual([0, 1, 2, 1])
  })

  test('a request begins once', async () => {
    let bench = await start()
    const both = await Promise.allSettled([bench.ledger.begin(begin('a')), bench.ledger.begin(begin('a'))])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ code: 'ALREADY_EXISTS', reason: 'record_exists' })
    await bench.ledger.end(end('a'))
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    bench = await restart(bench)
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(await story()).toEqual(['begin a', 'completed a'])
  })

  test('a request ends once, whoever asks, and says where again', async () => {
    let bench = await start()
    await bench.ledger.begin(begin('a'))
    expect(await Promise.all([bench.ledger.end(end('a')), bench.ledger.end(end('a'))])).toEqual([1, 1])
    expect(await bench.ledger.end({ ...end('a'), outcome: 'failed' })).toBe(1)
    bench = await restart(bench)
    expect(await bench.ledger.end(end('a'))).toBe(1)
    expect(await story()).toEqual(['begin a', 'completed a'])
  })

  test('an end waits for the begin that is under way', async () => {
    const { ledger } = await start()
    expect(await Promise.all([ledger.begin(begin('a')), ledger.end(end('a'))])).toEqual([0, 1])
  })

  test('nothing ends that has not begun', async () => {
    const bench = await start()
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'no_such_record' })
    bench.fail = true
    const both = await Promise.allSettled([bench.ledger.begin(begin('a')), bench.ledger.end(end('a'))])
    expect(both).toMatchObject([{ reason: { reason: 'audit_unavailable' } }, { reason: { code: 'NOT_FOUND' } }])
    expect(bench.openCounts.at(-1)).toBe(0)
  })

  test('what could not be stored can be tried again', async () => {
    const bench = await start()
    bench.fail = true
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    bench.fail = false
    await bench.ledger.begin(begin('a'))
    bench.fail = true
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    bench.fail = false
    expect(await bench.ledger.end(end('a'))).toBe(1)
  })

  test('the last 30,000 ends and more are remembered', () => {
    const requests = createRequests()
    for (let index = 0; index < 100_000; index += 1) requests.ended(`r${index}`, index)
    expect(requests.endOf('r70000')).toBe(70_000)
    expect(requests.endOf('r0')).toBeUndefined()
  })
})

describe('attach', () => {
  test('closes what the instance no longer works on, before it answers', async () => {
    const { ledger } = await start()
    await Promise.all([ledger.begin(begin('a')), ledger.begin(begin('b')), ledger.begin(begin('c')), ledger.begin(begin('other', 'gateway-2'))])
    await ledger.attach('gateway', ['b', 'unknown'])
    expect(await story()).toEqual(['begin a', 'begin b', 'begin c', 'begin other', 'interrupted a', 'interrupted c'])
    expect(await ledger.end(end('b'))).toBe(6)
    expect(await ledger.end(end('c'))).toBe(5)
  })

  test('waits for records that are under way', async () => {
    const { ledger } = await start()
    await ledger.begin(begin('ending'))
    const ending = ledger.end(end('ending'))
    const beginning = ledger.begin(begin('beginning'))
    await ledger.attach('gateway', [])
    expect(await story()).toEqual(['begin ending', 'begin beginning', 'completed ending', 'interrupted beginning'])
    await Promise.all([ending, beginning])
  })

  test('gives an end that comes too late the receipt of the interrupted one', async () => {
    const { ledger } = await start()
    await ledger.begin(begin('a'))
    const attached = ledger.attach('gateway', [])
    await Promise.resolve()
    expect(await ledger.end(end('a'))).toBe(1)
    await attached
    expect(await story()).toEqual(['begin a', 'interrupted a'])
  })

  test('leaves alone what begins meanwhile', async () => {
    const { ledger } = await start()
    await ledger.begin(begin('a'))
    await Promise.all([ledger.attach('gateway', []), ledger.begin(begin('new'))])
    expect((await story()).toSorted()).toEqual(['begin a', 'begin new', 'interrupted a'])
  })

  test('fails when the records can not be closed, and can be tried again', async () => {
    const bench = await start()
    await bench.ledger.begin(begin('a'))
    bench.fail = true
    await expect(bench.ledger.attach('gateway', [])).rejects.toMatchObject({ reason: 'audit_unavailable' })
    expect(bench.timers.size).toBe(1)
    bench.fail = false
    await bench.ledger.attach('gateway', [])
    expect(await story()).toEqual(['begin a', 'interrupted a'])
    expect(bench.timers.size).toBe(0)
  })

  test('takes the place of an older one', async () => {
    const bench = await start()
    const older = await bench.ledger.attach('gateway', [])
    const newer = await bench.ledger.attach('gateway', [])
    expect(older.over.reason).toMatchObject({ code: 'UNAVAILABLE', reason: 'attach_replaced' })
    expect(newer.over.aborted).toBe(false)
    await bench.ledger.begin(begin('a'))
    older.detach()
    expect(bench.timers.size).toBe(0)
    newer.detach()
    expect(bench.timers.size).toBe(1)
  })

  test('a newer one that comes while the older one waits wins', async () => {
    const { ledger } = await start()
    await ledger.begin(begin('a'))
    const both = await Promise.allSettled([ledger.attach('gateway', []), ledger.attach('gateway', [])])
    expect(both).toMatchObject([{ reason: { reason: 'attach_replaced' } }, { status: 'fulfilled' }])
    expect(await story()).toEqual(['begin a', 'interrupted a'])
  })
})

describe('an instance that goes away', () => {
  test('has its open requests closed when it does not come back', async () => {
    const bench = await start()
    const attachment = await bench.ledger.attach('gateway', [])
    await bench.ledger.begin(begin('a'))
    expect(bench.timers.size).toBe(0)
    attachment.detach()
    await bench.timePasses()
    expect(await story()).toEqual(['begin a', 'interrupted a'])
    expect(bench.openCounts.at(-1)).toBe(0)
    expect(bench.timers.size).toBe(0)
  })

  test('keeps them when it does', async () => {
    const bench = await start()
    const attachment = await bench.ledger.attach('gateway', [])
    await bench.ledger.begin(begin('a'))
    attachment.detach()
    await bench.ledger.attach('gateway', ['a'])
    await bench.timePasses()
    expect(await bench.ledger.end(end('a'))).toBe(1)
  })

  test('or that was there before a restart', async () => {
    let bench = await start()
    await Promise.all([bench.ledger.begin(begin('a')), bench.ledger.begin(begin('b', 'gateway-2')), bench.ledger.begin(begin('c'))])
    await bench.ledger.end(end('c'))
    bench = await restart(bench)
    expect(bench.openCounts).toEqual([2])
    expect(bench.timers.size).toBe(2)
    await bench.ledger.attach('gateway-2', ['b'])
    await bench.timePasses()
    expect(await story()).toEqual(['begin a', 'begin b', 'begin c', 'completed c', 'interrupted a'])
  })

  test('or that never attached', async () => {
    const bench = await start()
    await bench.ledger.begin(begin('a'))
    await bench.timePasses()
    expect(await story()).toEqual(['begin a', 'interrupted a'])
  })

  test('is tried again when the records can not be closed', async () => {
    const bench = await start()
    await bench.ledger.begin(begin('a'))
    bench.fail = true
    await bench.timePasses()
    bench.fail = false
    expect(bench.timers.size).toBe(1)
    await bench.timePasses()
    expect(await story()).toEqual(['begin a', 'interrupted a'])
  })
})

test('drain ends the attachments and the waiting; records under way still end', async () => {
  const bench = await start()
  const attachment = await bench.ledger.attach('gateway', [])
  await Promise.all([bench.ledger.begin(begin('a')), bench.ledger.begin(begin('b', 'gateway-2'))])
  bench.ledger.drain()
  expect(attachment.over.reason).toMatchObject({ code: 'UNAVAILABLE', reason: 'draining' })
  attachment.detach()
  expect(bench.timers.size).toBe(0)
  await expect(bench.ledger.attach('gateway', [])).rejects.toMatchObject({ reason: 'draining' })
  await bench.ledger.end(end('a'))
  expect(await story()).toEqual(['begin a', 'begin b', 'completed a'])
})
