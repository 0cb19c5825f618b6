import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readEnd } from './read-end.ts'
import { decodeRecord, type LogRecord } from './records/record.ts'
import { type AuditLog, createSequencer, type SequencerOptions } from './sequencer.ts'
import { type Batch, HeadMovedError, type LogStore, StoreError } from './store/store.ts'
import { createMemoryStore } from './test-support/memory-store.ts'
import { refusal } from './test-support/open-test-log.ts'

/** A store in memory whose appends fail when the test says, in either way, and that forgets what was not acknowledged. */
interface Bench {
  store: LogStore
  /** What becomes of appends: stored; refused; stored, but not told; neither stored nor told; held until freed; somebody else was faster. */
  mode: 'works' | 'full' | 'storedUntold' | 'lostUntold' | 'hangs' | 'forked'
  /** Ends the appends that hang, with what is said then. */
  free(): void
  headFails: boolean
  now: number
  failed: number
  groups: number[]
  log: AuditLog
}

let bench: Bench
const quiet = (): void => undefined

async function open(options: Partial<SequencerOptions> = {}, inner: LogStore = createMemoryStore()): Promise<Bench> {
  let held: (() => void)[] = []
  const made: Omit<Bench, 'log'> = {
    mode: 'works',
    headFails: false,
    now: Date.parse('2026-11-01T00:00:00.000Z'),
    failed: 0,
    groups: [],
    free() {
      for (const run of held.splice(0)) run()
    },
    store: {
      ...inner,
      async head() {
        if (made.headFails) throw new StoreError('away', { stored: 'unknown', trouble: 'slow' })
        return await inner.head()
      },
      async append(batch: Batch) {
        if (made.mode === 'hangs') await new Promise<void>((resolve) => (held = [...held, resolve]))
        if (made.mode === 'full') throw new StoreError('full', { stored: 'no', trouble: 'disk_full' })
        if (made.mode === 'lostUntold') throw new StoreError('who knows', { stored: 'unknown', trouble: 'io_error' })
        if (made.mode === 'forked') throw new HeadMovedError('moved')
        await inner.append(batch)
        if (made.mode === 'storedUntold') throw new StoreError('who knows', { stored: 'unknown', trouble: 'io_error' })
      },
    },
  }
  const log = createSequencer({
    store: made.store,
    end: await readEnd(inner),
    clock: () => made.now,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    metrics: { group: ({ entries }) => made.groups.push(entries.length), refused: quiet },
    appendTimeoutMs: 1000,
    clockToleranceMs: 5000,
    onCommitted: quiet,
    onFailed: () => (made.failed += 1),
    ...options,
  })
  bench = Object.assign(made, { log })
  return bench
}

beforeEach(() => void open())
afterEach(async () => {
  vi.useRealTimers()
  bench.mode = 'works'
  bench.headFails = false
  bench.free()
  await bench.log.close([])
})

async function records(store = bench.store): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  for await (const entry of store.entries(0, (await store.head()).size)) {
    const record = entry === undefined ? undefined : decodeRecord(entry)
    if (record !== undefined) found.push(record)
  }
  return found
}

/** In short: the instance of a refusal, or the type. */
async function story(): Promise<string[]> {
  return (await records()).map((record) => (record.type === 'request.refused' ? record.instance : record.type))
}

async function writableAgain(): Promise<void> {
  await vi.waitUntil(() => bench.log.writable, { timeout: 5000, interval: 5 })
}

const unavailable = { code: 'UNAVAILABLE', reason: 'audit_unavailable' }

describe('append', () => {
  test('gives the places of the records, and keeps those of one append together', async () => {
    const { log } = await open()
    expect(await log.append([refusal('a'), refusal('b')])).toBe(0)
    expect(await log.append([refusal('c')])).toBe(2)
    expect(await story()).toEqual(['a', 'b', 'c'])
    expect(log.head().size).toBe(3)
  })

  test('makes what waits together durable together, in order', async () => {
    const { log, groups } = await open()
    const places = await Promise.all(Array.from({ length: 300 }, (_, at) => log.append([refusal(`${at}-a`), refusal(`${at}-b`)])))
    expect(places).toEqual(places.map((_, at) => at * 2))
    expect(groups).toEqual([600])
    expect(await story()).toEqual(places.flatMap((_, at) => [`${at}-a`, `${at}-b`]))
  })

  test('bounds a group, but never splits an append', async () => {
    const { log, groups } = await open()
    const large = Array.from({ length: 5000 }, (_, at) => refusal(`${at}`))
    expect(await Promise.all([log.append([refusal('x')]), log.append(large), log.append([refusal('y')])])).toEqual([0, 1, 5001])
    expect(groups).toEqual([1, 5000, 1])
  })

  test('a record that the log does not take is refused alone', async () => {
    const { log } = await open()
    const outcomes = await Promise.allSettled([log.append([refusal('a')]), log.append([refusal('not a name')]), log.append([refusal('b')])])
    expect(outcomes).toMatchObject([{ value: 0 }, { reason: { reason: 'invalid_record' } }, { value: 1 }])
    expect(await story()).toEqual(['a', 'b'])
  })

  test('is refused once the log is closed, after what was under way and the last record', async () => {
    const { log } = await open()
    const last = log.append([refusal('a')])
    const closed = log.close([{ type: 'log.closed', instance: 'audit' }])
    await expect(log.append([refusal('b')])).rejects.toMatchObject(unavailable)
    expect(await last).toBe(0)
    await closed
    expect(await story()).toEqual(['a', 'log.closed'])
  })

  test('goes on where a log ended, also in the middle of tiles', async () => {
    const { log, store } = await open()
    await log.append(Array.from({ length: 700 }, (_, at) => refusal(`${at}`)))
    await log.close([])
    const again = await open({}, store)
    expect(await again.log.append([refusal('next')])).toBe(700)
  })
})

describe('a store that fails', () => {
  test('failed, not stored: refuses, tries again by itself, and records the gap before anything else', async () => {
    const { log } = await open()
    await log.append([refusal('a')])
    bench.mode = 'full'
    await expect(log.append([refusal('lost')])).rejects.toMatchObject(unavailable)
    expect(log.writable).toBe(false)
    for (let at = 0; at < 3; at += 1) await expect(log.append([refusal('lost')])).rejects.toMatchObject(unavailable)
    bench.now += 60_000
    bench.mode = 'works'
    await writableAgain()
    await log.append([refusal('b')])
    expect(await story()).toEqual(['a', 'log.gap', 'b'])
    expect((await records())[1]).toMatchObject({ from: '2026-11-01T00:00:00.000Z', at: '2026-11-01T00:01:00.000Z', reason: 'disk_full', refused: 4, unrecorded: 0 })
    expect(bench.failed).toBe(0)
  })

  test('failed, but stored: the record counts once the store says so', async () => {
    const { log } = await open()
    bench.headFails = true
    bench.mode = 'storedUntold'
    const append = log.append([refusal('a')])
    await vi.waitUntil(() => !log.writable)
    bench.mode = 'works'
    bench.headFails = false
    expect(await append).toBe(0)
    await writableAgain()
    expect(await story()).toEqual(['a', 'log.gap'])
  })

  test('failed, unknown whether stored, and it was not: refuses', async () => {
    const { log } = await open()
    bench.mode = 'lostUntold'
    await expect(log.append([refusal('lost')])).rejects.toMatchObject(unavailable)
    bench.mode = 'works'
    await writableAgain()
    expect(await log.append([refusal('a')])).toBe(1)
    expect(await story()).toEqual(['log.gap', 'a'])
  })

  test('hangs: refuses within the limit, what comes then at once, and goes on with what was stored after all', async () => {
    const { log } = await open({ appendTimeoutMs: 50 })
    bench.mode = 'hangs'
    const began = performance.now()
    const under = log.append([refusal('stored-too-late')])
    await new Promise((resolve) => setImmediate(resolve))
    const behind = log.append([refusal('waits')])
    expect(await Promise.allSettled([under, behind])).toMatchObject([{ reason: unavailable }, { reason: unavailable }])
    await expect(log.append([refusal('later')])).rejects.toMatchObject(unavailable)
    expect(performance.now() - began).toBeLessThan(1000)
    bench.mode = 'works'
    bench.free()
    await writableAgain()
    expect(await log.append([refusal('a')])).toBe(2)
    expect(await story()).toEqual(['stored-too-late', 'log.gap', 'a'])
    expect((await records())[1]).toMatchObject({ reason: 'slow', refused: 3 })
  })

  test('under constant load, the gap is recorded once and the log is written again', async () => {
    const { log } = await open()
    bench.mode = 'full'
    let stored = 0
    let stop = false
    const clients = Array.from({ length: 8 }, async () => {
      while (!stop) {
        await log.append([refusal('x')]).then(() => (stored += 1), () => new Promise((resolve) => setImmediate(resolve)))
      }
    })
    await vi.waitUntil(() => !log.writable)
    bench.mode = 'works'
    await vi.waitUntil(() => stored > 100)
    stop = true
    await Promise.all(clients)
    expect((await story()).filter((what) => what === 'log.gap')).toHaveLength(1)
  })

  test.each(['forked', 'lostUntold'] as const)('%s, with a log that neither ends before nor behind the append: stops for good', async (mode) => {
    const { log, store } = await open()
    await log.append([refusal('a')])
    bench.mode = mode
    const head = store.head.bind(store)
    if (mode === 'lostUntold') store.head = async () => ({ ...(await head()), size: 17 })
    await expect(log.append([refusal('b')])).rejects.toMatchObject(unavailable)
    bench.mode = 'works'
    expect([bench.failed, log.usable]).toEqual([1, false])
    await expect(log.append([refusal('c')])).rejects.toMatchObject(unavailable)
    store.head = head
    expect(await story()).toEqual(['a'])
  })
})

describe('the clock', () => {
  test('a little behind the last record: that time is held, and said so', async () => {
    const { log } = await open()
    await log.append([refusal('a')])
    bench.now -= 4000
    await log.append([refusal('b')])
    bench.now += 4001
    await log.append([refusal('c')])
    expect((await records()).map(({ at, clock }) => `${at} ${clock}`)).toEqual(['2026-11-01T00:00:00.000Z ok', '2026-11-01T00:00:00.000Z held', '2026-11-01T00:00:00.001Z ok'])
  })

  test('further behind: refuses until it has caught up, also after a restart', async () => {
    const { log, store, now } = await open()
    await log.append([refusal('a')])
    bench.now -= 3_600_000
    await expect(log.append([refusal('lost')])).rejects.toMatchObject(unavailable)
    await log.close([])
    const again = await open({}, store)
    bench.now = now - 3_600_000
    await expect(again.log.append([refusal('lost')])).rejects.toMatchObject(unavailable)
    expect(again.log.usable).toBe(true)
    bench.now = now + 1000
    await writableAgain()
    await again.log.append([refusal('b')])
    expect(await story()).toEqual(['a', 'log.gap', 'b'])
    expect((await records())[1]).toMatchObject({ reason: 'clock_behind', from: '2026-11-01T00:00:00.000Z', at: '2026-11-01T00:00:01.000Z', refused: 1 })
  })
})
