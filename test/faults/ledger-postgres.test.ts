import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { expectSame } from '../../services/audit/store/conformance.ts'
import { openPostgresStore } from '../../services/audit/store/postgres/open-postgres-store.ts'
import type { PostgresTiming } from '../../services/audit/store/postgres/timing.ts'
import { HeadMovedError, type LogStore, StoreError } from '../../services/audit/store/store.ts'
import { ModelLog, someEntries } from '../../services/audit/store/test-support/model-log.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'

let server: PostgresServer
const opened: LogStore[] = []
const children: ChildProcess[] = []

beforeAll(async () => {
  server = await startPostgres()
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => server.remove())

const quick: Partial<PostgresTiming> = { answerMs: 1000 }

async function open(database: string, { wait = false, timing = quick }: { wait?: boolean; timing?: Partial<PostgresTiming> } = {}): Promise<LogStore> {
  const store = await openPostgresStore({ settings: server.settingsOf(database), wait, timing, signal: AbortSignal.timeout(20_000) })
  opened.push(store)
  return store
}

/** Ends the connections to a database that have, or have not, the lock. */
async function cut(database: string, which: 'lock' | 'others'): Promise<number> {
  const holder = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted`
  const rows = await server.query(
    'postgres',
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = '${database}' AND application_name = 'intramuros-audit' AND pid ${which === 'lock' ? 'IN' : 'NOT IN'} (${holder})`,
  )
  return rows.length
}

/** Appends as the sequencer does: again when it is not stored; when that is unknown, it asks. Tells how often each happened. */
async function appendSurely(store: LogStore, model: ModelLog, entries: readonly Uint8Array[], failures: { no: number; unknown: number }): Promise<void> {
  const batch = model.batch(entries)
  for (const end = Date.now() + 15_000; Date.now() < end; await delay(5)) {
    try {
      await store.append(batch)
      return model.accept(entries)
    } catch (thrown) {
      if (!(thrown instanceof StoreError)) throw thrown
      failures[thrown.stored]++
      if (thrown.stored === 'no') continue
      const { size } = await patiently(() => store.head())
      if (size === batch.to.size) return model.accept(entries)
      expect(size).toBe(batch.from.size)
    }
  }
  throw new Error('the append never got through')
}

async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + 15_000; ; await delay(20)) {
    try {
      return await act()
    } catch (thrown) {
      if (!(thrown instanceof StoreError) || Date.now() > end) throw thrown
    }
  }
}

function aborted(signal: AbortSignal): Promise<unknown> {
  return signal.aborted ? Promise.resolve() : once(signal, 'abort', { signal: AbortSignal.timeout(15_000) })
}

describe('connections that break', () => {
  test('while it appends: all that was confirmed is there, nothing twice, and it goes on by itself', async () => {
    const database = await server.createDatabase()
    const store = await open(database)
    const model = new ModelLog()
    const failures = { no: 0, unknown: 0 }
    const over = new AbortController()
    let cuts = 0
    const cutting = (async () => {
      while (!over.signal.aborted) {
        cuts += await cut(database, 'others')
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
    const database = await server.createDatabase()
    const store = await open(database)
    const model = new ModelLog()
    await model.append(store, someEntries(10, 'before'))
    expect(await cut(database, 'lock')).toBe(1)
    await aborted(store.lost)
    expect(store.lost.reason).toBeInstanceOf(StoreError)
    await expect(store.append(model.batch(someEntries(1, 'late')))).rejects.toBeInstanceOf(StoreError)
    await expectSame(await open(database), model)
  })
})

test('kill -9 of the server while it is written: all that was confirmed is there, nothing twice', async () => {
  const database = await server.createDatabase()
  const model = new ModelLog()
  for (let round = 0; round < 3; round++) {
    const store = await open(database, { wait: true })
    const killed = delay(100 + round * 100).then(() => server.kill())
    let under: readonly Uint8Array[] = []
    const failure = await (async () => {
      for (let group = 0; ; group++) {
        under = someEntries(1 + ((group * 7) % 300), `round ${round} group ${group}`)
        try {
          await model.append(store, under)
        } catch (thrown) {
          return thrown
        }
      }
    })()
    await killed
    expect(failure).toBeInstanceOf(StoreError)
    await aborted(store.lost)
    await server.start()
    const again = await open(database, { wait: true })
    const { size } = await again.head()
    expect([model.head.size, model.head.size + under.length]).toContain(size)
    if (size > model.head.size) model.accept(under)
    await expectSame(again, model)
    await again.close()
  }
}, 60_000)

test('a server that hangs: an append fails in bounded time, and what became of it is certain afterwards', async () => {
  const database = await server.createDatabase()
  const store = await open(database)
  const model = new ModelLog()
  for (let round = 0; round < 3; round++) {
    await model.append(store, someEntries(20, `before ${round}`))
    await server.pause()
    const entries = someEntries(30, `hanging ${round}`)
    const batch = model.batch(entries)
    try {
      const begun = performance.now()
      await expect(store.append(batch)).rejects.toMatchObject({ stored: 'unknown' })
      await expect(store.head()).rejects.toMatchObject({ stored: 'no' })
      expect(performance.now() - begun).toBeLessThan(4000)
    } finally {
      server.resume()
    }
    // The statement lies in the server's buffer and is under way again: it must not come to be after this says that it has not.
    const { size } = await patiently(() => store.head())
    expect([batch.from.size, batch.to.size]).toContain(size)
    if (size === batch.to.size) model.accept(entries)
    await patiently(async () => {
      const running = await server.query('postgres', `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND state = 'active'`)
      if (running.length > 0) throw new StoreError('still at it', { stored: 'no' })
    })
    await expectSame(store, model)
    expect(store.lost.aborted).toBe(false)
  }
}, 60_000)

test('a statement that was given up for lost and runs later changes nothing', async () => {
  const database = await server.createDatabase()
  const store = await open(database)
  const model = new ModelLog()
  await model.append(store, someEntries(5, 'before'))
  const [row] = await server.query(database, 'SELECT writer::text AS token FROM intramuros_audit.head')
  const token = String(row?.['token'])
  // Cut off from the server within the append: it asks, which puts another token in the place of the one that the append had.
  await server.pause()
  await expect(store.append(model.batch(someEntries(5, 'lost')))).rejects.toMatchObject({ stored: 'unknown' })
  server.resume()
  if ((await patiently(() => store.head())).size > model.head.size) model.accept(someEntries(5, 'lost'))
  const rows = await server.query(database, `UPDATE intramuros_audit.head SET size = size WHERE writer = '${token}' RETURNING size`)
  expect(rows).toEqual([])
  await model.append(store, someEntries(5, 'after'))
  await expectSame(store, model)
})

describe('two that want to write', () => {
  test('the second is refused, or stands by and takes over when the first ends', async () => {
    const database = await server.createDatabase()
    const first = await open(database)
    const model = new ModelLog()
    await expect(open(database)).rejects.toThrow('Another process writes this log')
    const second = open(database, { wait: true })
    await model.append(first, someEntries(300, 'first'))
    await first.close()
    await expectSame(await second, model)
  })

  test('the second takes over within seconds when the first loses its connection, and the first writes no more', async () => {
    const database = await server.createDatabase()
    const first = await open(database)
    const model = new ModelLog()
    await model.append(first, someEntries(10, 'first'))
    const standingBy = open(database, { wait: true })
    await cut(database, 'lock')
    const begun = performance.now()
    const second = await standingBy
    expect(performance.now() - begun).toBeLessThan(3000)
    await aborted(first.lost)
    await expect(first.append(model.batch(someEntries(1, 'late')))).rejects.toThrow()
    await model.append(second, someEntries(10, 'second'))
    await expectSame(second, model)
  })

  test('the head is safe even from a first that has not noticed', async () => {
    const database = await server.createDatabase()
    const first = await open(database, { timing: { ...quick, beatMs: 60_000 } })
    const model = new ModelLog()
    await model.append(first, someEntries(10, 'first'))
    const late = model.batch(someEntries(3, 'late'))
    const standingBy = open(database, { wait: true })
    // Both at once: the lock is gone, and an append is under way.
    const [, outcome] = await Promise.all([cut(database, 'lock'), first.append(late).then(() => 'stored' as const, (thrown: unknown) => thrown)])
    const second = await standingBy
    const { size } = await second.head()
    if (outcome === 'stored') expect(size).toBe(late.to.size)
    else expect(outcome instanceof StoreError || outcome instanceof HeadMovedError).toBe(true)
    if (size === late.to.size) model.accept(late.entries)
    await model.append(second, someEntries(10, 'second'))
    await expectSame(second, model)
  })

  test('one that stands by outlives a crash of the server', async () => {
    const database = await server.createDatabase()
    const first = await open(database)
    const model = new ModelLog()
    await model.append(first, someEntries(10, 'first'))
    const standingBy = open(database, { wait: true })
    await server.kill()
    await aborted(first.lost)
    await server.start()
    await expectSame(await standingBy, model)
  })
})

describe('a writer in another process', () => {
  const timing = { answerMs: 1000, leaseMs: 2000 }
  interface Said {
    stored: number
    failed?: string
    lost?: boolean
  }

  async function startWriter(database: string): Promise<{ child: ChildProcess; last: () => Said }> {
    const child = fork(join(import.meta.dirname, 'support/postgres-writer.ts'), [JSON.stringify({ settings: server.settingsOf(database), timing })])
    children.push(child)
    let last: Said = { stored: 0 }
    child.on('message', (said: Said) => {
      last = said
    })
    await patiently(async () => {
      if (last.stored < 100) throw new StoreError('not yet', { stored: 'no' })
    })
    return { child, last: () => last }
  }

  /** Holds the log against what that writer appends: whole groups. */
  async function expectItsLog(store: LogStore, atLeast: number): Promise<ModelLog> {
    const { size } = await store.head()
    expect(size).toBeGreaterThanOrEqual(atLeast)
    const model = new ModelLog()
    for (let group = 0; model.head.size < size; group++) model.accept(someEntries(1 + (group % 7), `group ${group}`))
    await expectSame(store, model)
    return model
  }

  test('that is killed: whoever stands by goes on within a second, with all that was confirmed', async () => {
    const database = await server.createDatabase()
    const { child, last } = await startWriter(database)
    const standingBy = open(database, { wait: true })
    await delay(100)
    child.kill('SIGKILL')
    const begun = performance.now()
    const store = await standingBy
    expect(performance.now() - begun).toBeLessThan(2000)
    const model = await expectItsLog(store, last().stored)
    await model.append(store, someEntries(10, 'after'))
    await expectSame(store, model)
  })

  test('that hangs: whoever stands by goes on when its lease is over, and it stores nothing when it wakes', async () => {
    const database = await server.createDatabase()
    const { child, last } = await startWriter(database)
    const standingBy = open(database, { wait: true })
    child.kill('SIGSTOP')
    const begun = performance.now()
    const store = await standingBy
    expect(performance.now() - begun).toBeLessThan(timing.leaseMs + 3000)
    const model = await expectItsLog(store, last().stored)
    await model.append(store, someEntries(10, 'after'))
    const ended = once(child, 'exit')
    child.kill('SIGCONT')
    await ended
    expect(last().failed).toBeDefined()
    await expectSame(store, model)
  })
})
