import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { openPostgresStore } from '../../../services/audit/store/postgres/open-postgres-store.ts'
import type { PostgresTiming } from '../../../services/audit/store/postgres/timing.ts'
import { type LogStore, StoreError } from '../../../services/audit/store/store.ts'
import type { ModelLog } from '../../../services/audit/store/test-support/model-log.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'

export const quick: Partial<PostgresTiming> = { answerMs: 1000 }

export interface PostgresLogs {
  readonly server: PostgresServer
  /** Closed when the test is over. */
  open(database: string, options?: { wait?: boolean; timing?: Partial<PostgresTiming> }): Promise<LogStore>
  /** Ends the connections to a database that have, or have not, the lock; how many there were. */
  cut(database: string, which: 'lock' | 'others'): Promise<number>
}

/** A server for the tests of a file. */
export function postgresLogs(): PostgresLogs {
  let server: PostgresServer
  const opened: LogStore[] = []
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
  })
  afterAll(() => server.remove())

  return {
    get server() {
      return server
    },
    async open(database, { wait = false, timing = quick } = {}) {
      const store = await openPostgresStore({ settings: server.settingsOf(database), wait, timing, signal: AbortSignal.timeout(20_000) })
      opened.push(store)
      return store
    },
    async cut(database, which) {
      const holder = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted`
      const rows = await server.query(
        'postgres',
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = '${database}' AND application_name = 'intramuros-audit' AND pid ${which === 'lock' ? 'IN' : 'NOT IN'} (${holder})`,
      )
      return rows.length
    },
  }
}

/** Appends as the sequencer does: again when it is not stored; when that is unknown, it asks. Tells how often each happened. */
export async function appendSurely(store: LogStore, model: ModelLog, entries: readonly Uint8Array[], failures: { no: number; unknown: number }): Promise<void> {
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

export async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + 15_000; ; await delay(20)) {
    try {
      return await act()
    } catch (thrown) {
      if (!(thrown instanceof StoreError) || Date.now() > end) throw thrown
    }
  }
}

export function aborted(signal: AbortSignal): Promise<unknown> {
  return signal.aborted ? Promise.resolve() : once(signal, 'abort', { signal: AbortSignal.timeout(15_000) })
}
