import { describe, expect, test } from 'vitest'
import { createLedger, type Ledger } from './ledger.ts'
import { createRequests } from './requests.ts'
import { createMemoryLog, type MemoryLog } from './test-support/memory-log.ts'
import { beginOf, endOf, refusedOf } from './test-support/example-records.ts'
import type { BeginFields, EndFields } from './validate.ts'
import type { EventEntry } from './validate-event.ts'

/** A ledger over a log in memory, with timers that fire when the test says, and a disk that fails when it says. */
interface Bench {
  ledger: Ledger
  log: MemoryLog
  /** Fires the timers that are set, as if their time had come. */
  timePasses(): Promise<void>
  timers: Set<() => void>
  openCounts: number[]
}

const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

async function start(log = createMemoryLog()): Promise<Bench> {
  const requests = createRequests()
  for (const [index, record] of (await log.records()).entries()) requests.replay(index, record)
  const timers = new Set<() => void>()
  const openCounts: number[] = []
  const ledger = createLedger({
    log,
    requests,
    findForgotten: () => Promise.resolve(undefined),
    orphanMs: 1000,
    schedule(run_, ms) {
      expect(ms).toBe(1000)
      const run = () => run_()
      timers.add(run)
      return () => timers.delete(run)
    },
    logger,
    onOpen: (count) => openCounts.push(count),
  })
  log.onCommitted = ledger.committed
  return {
    ledger,
    log,
    timers,
    openCounts,
    async timePasses() {
      const due = [...timers]
      timers.clear()
      for (const run of due) run()
      await log.settled()
    },
  }
}

/** Another ledger over the same log. */
function restart({ log }: Bench): Promise<Bench> {
  return start(log)
}

function begin(requestId: string, instance = 'gateway'): BeginFields {
  const { type: _, ...fields } = beginOf(requestId, { instance, team: `team-of-${requestId}` })
  return fields
}

function end(requestId: string): EndFields {
  const { type: _, team: __, ...fields } = endOf(requestId)
  return fields
}

/** The log in short: "begin a", "completed a", "interrupted a", "left gateway". */
async function story({ log }: Bench): Promise<string[]> {
  return (await log.records()).map((record) => {
    if (record.type === 'request.begin') return `begin ${record.requestId}`
    if (record.type === 'request.end') {
      expect(record.team).toBe(`team-of-${record.requestId}`)
      return `${record.outcome} ${record.requestId}`
    }
    if (record.type === 'service.changed') return `${record.event} ${record.instance}`
    return record.type === 'directory.changed' ? `${record.event} ${record.id}` : record.type
  })
}

describe('begin and end', () => {
  test('give the places of their records', async () => {
    const bench = await start()
    const { ledger, openCounts } = bench
    expect(await ledger.begin(begin('a'))).toBe(0)
    expect(await ledger.begin(begin('b'))).toBe(1)
    expect(await ledger.end(end('a'))).toBe(2)
    expect(await story(bench)).toEqual(['begin a', 'begin b', 'completed a'])
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
    expect(await story(bench)).toEqual(['begin a', 'completed a'])
  })

  test('a begin whose answer was lost is repeated, and recorded once', async () => {
    let bench = await start()
    expect(await Promise.all([bench.ledger.begin(begin('a')), bench.ledger.begin(begin('a'), true)])).toEqual([0, 0])
    bench = await restart(bench)
    expect(await bench.ledger.begin(begin('a'), true)).toBe(0)
    await expect(bench.ledger.begin({ ...begin('a'), instance: 'another' }, true)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(await bench.ledger.begin(begin('b'), true)).toBe(1)
    await bench.ledger.end(end('a'))
    await expect(bench.ledger.begin(begin('a'), true)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(await story(bench)).toEqual(['begin a', 'begin b', 'completed a'])
  })

  test('a request ends once, whoever asks, and says where again', async () => {
    let bench = await start()
    await bench.ledger.begin(begin('a'))
    expect(await Promise.all([bench.ledger.end(end('a')), bench.ledger.end(end('a'))])).toEqual([1, 1])
    expect(await bench.ledger.end({ ...end('a'), outcome: 'failed' })).toBe(1)
    bench = await restart(bench)
    expect(await bench.ledger.end(end('a'))).toBe(1)
    expect(await story(bench)).toEqual(['begin a', 'completed a'])
  })

  test('an end waits for the begin that is under way', async () => {
    const bench = await start()
    const { ledger } = bench
    expect(await Promise.all([ledger.begin(begin('a')), ledger.end(end('a'))])).toEqual([0, 1])
  })

  test('nothing ends that has not begun', async () => {
    const bench = await start()
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'no_such_record' })
    bench.log.fail = true
    const both = await Promise.allSettled([bench.ledger.begin(begin('a')), bench.ledger.end(end('a'))])
    expect(both).toMatchObject([{ reason: { reason: 'audit_unavailable' } }, { reason: { reason: 'audit_unavailable' } }])
    bench.log.fail = false
    await bench.ledger.begin(begin('b'))
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'no_such_record' })
    await bench.ledger.end(end('b'))
    expect(bench.openCounts.at(-1)).toBe(0)
  })

  test('what could not be stored can be tried again', async () => {
    const bench = await start()
    bench.log.fail = true
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    bench.log.fail = false
    await bench.ledger.begin(begin('a'))
    bench.log.fail = true
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    bench.log.fail = false
    expect(await bench.ledger.end(end('a'))).toBe(1)
  })

  test('the last 30,000 ends and more are remembered', () => {
    const requests = createRequests()
    for (let index = 0; index < 100_000; index += 1) {
      requests.open.set(`r${index}`, { instance: 'gateway', team: 'default', begin: index })
      requests.ended(`r${index}`, index + 1)
    }
    expect(requests.find('r70000')).toEqual({ team: 'default', begin: 70_000, end: 70_001 })
    expect(requests.find('r0')).toBeUndefined()
  })
})

describe('attach', () => {
  test('closes what the instance no longer works on, before it answers', async () => {
    const bench = await start()
    const { ledger } = bench
    await Promise.all([ledger.begin(begin('a')), ledger.begin(begin('b')), ledger.begin(begin('c')), ledger.begin(begin('other', 'gateway-2'))])
    await ledger.attach('gateway', ['b', 'unknown'])
    expect(await story(bench)).toEqual(['begin a', 'begin b', 'begin c', 'begin other', 'interrupted a', 'interrupted c'])
    expect(await ledger.end(end('b'))).toBe(6)
    expect(await ledger.end(end('c'))).toBe(5)
  })

  test('waits for records that are under way', async () => {
    const bench = await start()
    const { ledger } = bench
    await ledger.begin(begin('ending'))
    const ending = ledger.end(end('ending'))
    const beginning = ledger.begin(begin('beginning'))
    await ledger.attach('gateway', [])
    expect(await story(bench)).toEqual(['begin ending', 'begin beginning', 'completed ending', 'interrupted beginning'])
    await Promise.all([ending, beginning])
  })

  test('gives an end that comes too late the receipt of the interrupted one', async () => {
    const bench = await start()
    const { ledger } = bench
    await ledger.begin(begin('a'))
    const attached = ledger.attach('gateway', [])
    await Promise.resolve()
    expect(await ledger.end(end('a'))).toBe(1)
    await attached
    expect(await story(bench)).toEqual(['begin a', 'interrupted a'])
  })

  test('leaves alone what begins meanwhile', async () => {
    const bench = await start()
    const { ledger } = bench
    await ledger.begin(begin('a'))
    await Promise.all([ledger.attach('gateway', []), ledger.begin(begin('new'))])
    expect((await story(bench)).toSorted()).toEqual(['begin a', 'begin new', 'interrupted a'])
  })

  test('fails when the records can not be closed, and can be tried again', async () => {
    const bench = await start()
    await bench.ledger.begin(begin('a'))
    bench.log.fail = true
    await expect(bench.ledger.attach('gateway', [])).rejects.toMatchObject({ reason: 'audit_unavailable' })
    expect(bench.timers.size).toBe(1)
    bench.log.fail = false
    await bench.ledger.attach('gateway', [])
    expect(await story(bench)).toEqual(['begin a', 'interrupted a'])
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
    const bench = await start()
    const { ledger } = bench
    await ledger.begin(begin('a'))
    const both = await Promise.allSettled([ledger.attach('gateway', []), ledger.attach('gateway', [])])
    expect(both).toMatchObject([{ reason: { reason: 'attach_replaced' } }, { status: 'fulfilled' }])
    expect(await story(bench)).toEqual(['begin a', 'interrupted a'])
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
    expect(await story(bench)).toEqual(['begin a', 'interrupted a', 'left gateway'])
    expect(bench.openCounts.at(-1)).toBe(0)
    expect(bench.timers.size).toBe(0)
  })

  test('is not missed when it said that it stops', async () => {
    const bench = await start()
    const attachment = await bench.ledger.attach('gateway', [])
    await bench.ledger.record('e-1', { type: 'service.changed', service: 'gateway', instance: 'gateway', event: 'stopping', version: '', model: '', modelDigest: '' })
    attachment.detach()
    await bench.timePasses()
    expect(await story(bench)).toEqual(['stopping gateway'])
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
    expect(await story(bench)).toEqual(['begin a', 'begin b', 'begin c', 'completed c', 'interrupted a'])
  })

  test('or that never attached', async () => {
    const bench = await start()
    await bench.ledger.begin(begin('a'))
    await bench.timePasses()
    expect(await story(bench)).toEqual(['begin a', 'interrupted a'])
  })

  test('is tried again when the records can not be closed', async () => {
    const bench = await start()
    await bench.ledger.begin(begin('a'))
    bench.log.fail = true
    await bench.timePasses()
    bench.log.fail = false
    expect(bench.timers.size).toBe(1)
    await bench.timePasses()
    expect(await story(bench)).toEqual(['begin a', 'interrupted a'])
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
  expect(await story(bench)).toEqual(['begin a', 'begin b', 'completed a'])
})

describe('what is no request', () => {
  test('is recorded once however often it is sent, unless that failed', async () => {
    const bench = await start()
    bench.log.fail = true
    await expect(bench.ledger.record('e-1', refusedOf())).rejects.toMatchObject({ reason: 'audit_unavailable' })
    bench.log.fail = false
    expect(await Promise.all([bench.ledger.record('e-1', refusedOf()), bench.ledger.record('e-1', refusedOf())])).toEqual([0, 0])
    expect(await bench.ledger.record('e-2', refusedOf({ count: 7 }))).toBe(1)
    expect((await bench.log.records()).map((record) => record.type === 'request.refused' && record.count)).toEqual([1, 7])
  })

  const change = (id: number): EventEntry => ({ type: 'directory.changed', id, changedAt: '2026-11-01T00:00:00.000Z', event: 'team.created', team: 'a', keyId: '', settings: [] })

  test('changes of the directory are recorded once and in order, whoever tells of them, over restarts too', async () => {
    let bench = await start()
    expect(bench.ledger.directoryChange).toBe(0)
    const two = await Promise.all([1, 1, 2, 2].map((id, at) => bench.ledger.record(`e-${at}`, change(id))))
    expect(two).toEqual([0, undefined, 1, undefined])
    bench.log.fail = true
    await expect(bench.ledger.record('e-5', change(9))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    bench.log.fail = false
    bench = await restart(bench)
    expect(bench.ledger.directoryChange).toBe(2)
    expect(await bench.ledger.record('e-6', change(2))).toBeUndefined()
    expect(await bench.ledger.record('e-7', change(9))).toBe(2)
    expect(await story(bench)).toEqual(['team.created 1', 'team.created 2', 'team.created 9'])
  })
})

test('a request is found while it runs and afterwards', async () => {
  const bench = await start()
  const beginning = bench.ledger.begin(begin('a'))
  expect(bench.ledger.find('a')).toBeUndefined()
  await beginning
  expect(bench.ledger.find('a')).toEqual({ team: 'team-of-a', begin: 0 })
  await bench.ledger.end(end('a'))
  expect(bench.ledger.find('a')).toEqual({ team: 'team-of-a', begin: 0, end: 1 })
  expect((await restart(bench)).ledger.find('a')).toEqual({ team: 'team-of-a', begin: 0, end: 1 })
})

describe('what was given up and is in the log after all', () => {
  test('counts: a begin can be ended, an end has ended, and neither is written twice', async () => {
    const bench = await start()
    bench.log.late = true
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    // Not yet known: whoever took it for none would leave the request open for ever.
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await bench.log.settled()
    expect(bench.openCounts.at(-1)).toBe(1)
    await expect(bench.ledger.end(end('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    await bench.log.settled()
    expect(bench.openCounts.at(-1)).toBe(0)
    bench.log.late = false
    expect(await bench.ledger.end(end('a'))).toBe(1)
    expect(await story(bench)).toEqual(['begin a', 'completed a'])
  })

  test('a request that nobody ends is closed with its gateway', async () => {
    const bench = await start()
    bench.log.late = true
    await expect(bench.ledger.begin(begin('a'))).rejects.toMatchObject({ reason: 'audit_unavailable' })
    await bench.log.settled()
    bench.log.late = false
    await bench.timePasses()
    expect(await story(bench)).toEqual(['begin a', 'interrupted a'])
  })

  test('a change of the directory is not recorded twice', async () => {
    const bench = await start()
    const entry: EventEntry = { type: 'directory.changed', id: 5, changedAt: '2026-11-01T00:00:00.000Z', event: 'team.created', team: 'a', keyId: '', settings: [] }
    bench.log.late = true
    await expect(bench.ledger.record('e', entry)).rejects.toMatchObject({ reason: 'audit_unavailable' })
    await bench.log.settled()
    bench.log.late = false
    expect(await bench.ledger.record('e', entry)).toBeUndefined()
    expect(await story(bench)).toEqual(['team.created 5'])
  })
})
