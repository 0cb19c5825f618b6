import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { expectSame } from '../../services/audit/store/conformance.ts'
import { HeadMovedError, StoreError } from '../../services/audit/store/store.ts'
import { ModelLog, someEntries } from '../../services/audit/store/test-support/model-log.ts'
import { aborted, appendSurely, patiently, postgresLogs, quick } from './support/postgres-logs.ts'

const logs = postgresLogs()

describe('connections that break', () => {
  test('while it appends: all that was confirmed is there, nothing twice, and it goes on by itself', async () => {
    const database = await logs.server.createDatabase()
    const store = await logs.open(database)
    const model = new ModelLog()
    const failures = { no: 0, unknown: 0 }
    const over = new AbortController()
    let cuts = 0
    const cutting = (async () => {
      while (!over.signal.aborted) {
        cuts += await logs.cut(database, 'others')
        await delay(10)
      }
    })()
    for (let group = 0; group < 200 || (failures.unknown === 0 && group < 5000); group++) await appendSurely(store, model, someEntries(1 + (group % 40), `group ${group}`), failures)
    over.abort()
    await cutting
    expect(cuts).toBeGreaterThan(0)
    expect(failures.unknown).toBeGreaterThan(0)
    await patiently(() => store.head())
    await expectSame(store, model)
    expect(store.lost.aborted).toBe(false)
  })

  test('that of the lock: it stops at once, and says so', async () => {
    const database = await logs.server.createDatabase()
    const store = await logs.open(database)
    const model = new ModelLog()
    await model.append(store, someEntries(10, 'before'))
    expect(await logs.cut(database, 'lock')).toBe(1)
    await aborted(store.lost)
    expect(store.lost.reason).toBeInstanceOf(StoreError)
    await expect(store.append(model.batch(someEntries(1, 'late')))).rejects.toBeInstanceOf(StoreError)
    await expectSame(await logs.open(database), model)
  })
})

test('a statement that was given up for lost and is done later changes nothing', async () => {
  const database = await logs.server.createDatabase()
  const store = await logs.open(database)
  const model = new ModelLog()
  await model.append(store, someEntries(5, 'before'))
  const [row] = await logs.server.query('postgres', `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND query LIKE 'WITH moved%'`)
  const backend = Number(row?.['pid'])
  // Only the process that serves the writing connection: to this side that is an answer that never comes.
  process.kill(backend, 'SIGSTOP')
  try {
    await expect(store.append(model.batch(someEntries(5, 'lost')))).rejects.toMatchObject({ stored: 'unknown' })
    expect((await store.head()).size).toBe(model.head.size)
  } finally {
    process.kill(backend, 'SIGCONT')
  }
  await patiently(async () => {
    const running = await logs.server.query('postgres', `SELECT FROM pg_stat_activity WHERE pid = ${backend}`)
    if (running.length > 0) throw new StoreError('still at it', { stored: 'no' })
  })
  await expectSame(store, model)
  await model.append(store, someEntries(5, 'after'))
  await expectSame(store, model)
})

describe('two that want to write', () => {
  test('the second is refused, or stands by and takes over when the first ends', async () => {
    const database = await logs.server.createDatabase()
    const first = await logs.open(database)
    const model = new ModelLog()
    await expect(logs.open(database)).rejects.toThrow('Another process writes this log')
    const second = logs.open(database, { wait: true })
    await model.append(first, someEntries(300, 'first'))
    await first.close()
    await expectSame(await second, model)
  })

  test('the second takes over within seconds when the first loses its connection, and the first writes no more', async () => {
    const database = await logs.server.createDatabase()
    const first = await logs.open(database)
    const model = new ModelLog()
    await model.append(first, someEntries(10, 'first'))
    const standingBy = logs.open(database, { wait: true })
    await logs.cut(database, 'lock')
    const begun = performance.now()
    const second = await standingBy
    expect(performance.now() - begun).toBeLessThan(3000)
    await aborted(first.lost)
    await expect(first.append(model.batch(someEntries(1, 'late')))).rejects.toThrow('no longer holds the lock')
    await model.append(second, someEntries(10, 'second'))
    await expectSame(second, model)
  })

  test('the head is safe even from a first that has not noticed', async () => {
    const database = await logs.server.createDatabase()
    const first = await logs.open(database, { timing: { ...quick, beatMs: 60_000 } })
    const model = new ModelLog()
    await model.append(first, someEntries(10, 'first'))
    const late = model.batch(someEntries(3, 'late'))
    const standingBy = logs.open(database, { wait: true })
    // Both at once: the lock is gone, and an append is under way.
    const [, outcome] = await Promise.all([logs.cut(database, 'lock'), first.append(late).then(() => 'stored' as const, (thrown: unknown) => thrown)])
    const second = await standingBy
    const { size } = await second.head()
    if (outcome === 'stored') expect(size).toBe(late.to.size)
    else expect(outcome instanceof StoreError || outcome instanceof HeadMovedError).toBe(true)
    if (size === late.to.size) model.accept(late.entries)
    await model.append(second, someEntries(10, 'second'))
    await expectSame(second, model)
  })


  test('the second waits for an append of the first that is under way, and goes on behind it', async () => {
    const database = await logs.server.createDatabase()
    const patient = { answerMs: 10_000 }
    const first = await logs.open(database, { timing: patient })
    const model = new ModelLog()
    await model.append(first, someEntries(10, 'first'))
    const inTheWay = new Client({ host: logs.server.folder, port: logs.server.port, user: 'postgres', database, ssl: false })
    await inTheWay.connect()
    const blocked = async (count: number): Promise<void> =>
      await patiently(async () => {
        const waiting = await logs.server.query('postgres', `SELECT FROM pg_stat_activity WHERE datname = '${database}' AND wait_event_type = 'Lock'`)
        if (waiting.length !== count) throw new StoreError('not yet', { stored: 'no' })
      })
    try {
      await inTheWay.query('BEGIN')
      // The append updates the head, then waits to see what becomes of this row.
      await inTheWay.query(`INSERT INTO intramuros_audit.entry (index, data) VALUES (10, 'x')`)
      const entries = someEntries(300, 'under way')
      const appending = model.append(first, entries)
      await blocked(1)
      const standingBy = logs.open(database, { wait: true, timing: patient })
      await logs.cut(database, 'lock')
      await blocked(2)
      await inTheWay.query('ROLLBACK')
      await appending
      await expectSame(await standingBy, model)
    } finally {
      await inTheWay.end()
    }
  })
})
