import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { expectSame } from '../../services/audit/store/conformance.ts'
import { type LogStore, StoreError } from '../../services/audit/store/store.ts'
import { ModelLog, someEntries } from '../../services/audit/store/test-support/model-log.ts'
import { aborted, patiently, postgresLogs } from './support/postgres-logs.ts'

const logs = postgresLogs()
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

test('kill -9 of the server while it is written: all that was confirmed is there, nothing twice', async () => {
  const database = await logs.server.createDatabase()
  const model = new ModelLog()
  for (let round = 0; round < 3; round++) {
    const store = await logs.open(database, { wait: true })
    const killed = delay(100 + round * 100).then(() => logs.server.kill())
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
    await logs.server.start()
    const again = await logs.open(database, { wait: true })
    const { size } = await again.head()
    expect([model.head.size, model.head.size + under.length]).toContain(size)
    if (size > model.head.size) model.accept(under)
    await expectSame(again, model)
    await again.close()
  }
}, 60_000)

test('a server that hangs: an append fails in bounded time, and what became of it is certain afterwards', async () => {
  const database = await logs.server.createDatabase()
  const store = await logs.open(database)
  const model = new ModelLog()
  for (let round = 0; round < 3; round++) {
    await model.append(store, someEntries(20, `before ${round}`))
    await logs.server.pause()
    const entries = someEntries(30, `hanging ${round}`)
    const batch = model.batch(entries)
    try {
      const begun = performance.now()
      await expect(store.append(batch)).rejects.toMatchObject({ stored: 'unknown' })
      await expect(store.head()).rejects.toMatchObject({ stored: 'no' })
      expect(performance.now() - begun).toBeLessThan(4000)
    } finally {
      logs.server.resume()
    }
    // The statement lies in the server's buffer and is under way again: it must not come to be after this says that it has not.
    const { size } = await patiently(() => store.head())
    expect([batch.from.size, batch.to.size]).toContain(size)
    if (size === batch.to.size) model.accept(entries)
    await patiently(async () => {
      const running = await logs.server.query('postgres', `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND state = 'active'`)
      if (running.length > 0) throw new StoreError('still at it', { stored: 'no' })
    })
    await expectSame(store, model)
    expect(store.lost.aborted).toBe(false)
  }
}, 60_000)

test('one that stands by outlives a crash of the server', async () => {
  const database = await logs.server.createDatabase()
  const first = await logs.open(database)
  const model = new ModelLog()
  await model.append(first, someEntries(10, 'first'))
  const standingBy = logs.open(database, { wait: true })
  await logs.server.kill()
  await aborted(first.lost)
  await logs.server.start()
  await expectSame(await standingBy, model)
})

describe('a writer in another process', () => {
  const timing = { answerMs: 1000, leaseMs: 2000 }
  interface Said {
    stored: number
    failed?: string
    lost?: boolean
  }

  async function startWriter(database: string): Promise<{ child: ChildProcess; last: () => Said }> {
    const child = fork(join(import.meta.dirname, 'support/postgres-writer.ts'), [JSON.stringify({ settings: logs.server.settingsOf(database), timing })])
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
    const database = await logs.server.createDatabase()
    const { child, last } = await startWriter(database)
    const standingBy = logs.open(database, { wait: true })
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
    const database = await logs.server.createDatabase()
    const { child, last } = await startWriter(database)
    const standingBy = logs.open(database, { wait: true })
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
