import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'pg'
import { LogBrokenError } from '../../read-end.ts'
import type { LogStore } from '../store.ts'
import { clientConfig, connect, connections, disconnect, type PostgresSettings, placeOf, type Run, runOn } from './connection.ts'
import { type LogReader, logReader } from './log-reader.ts'
import { logWriter } from './log-writer.ts'
import { PostgresError } from './postgres-error.ts'
import { migrate } from './schema.ts'
import { type HeldLock, holdLock, tryLock } from './sequencer-lock.ts'
import { checkServer, checkTables } from './server-check.ts'
import { type PostgresTiming, postgresTiming } from './timing.ts'

export interface OpenPostgresOptions {
  settings: PostgresSettings
  /** Wait while another process writes the log, or the database is away; otherwise both are errors. */
  wait: boolean
  /** Ends the waiting. */
  signal?: AbortSignal
  /** Why it waits, each time that it is another reason than before: another process writes the log, or the database is away. */
  onWaiting?: (waiting: { why: string; for: 'writer' | 'database' }) => void
  timing?: Partial<PostgresTiming>
}

const readers = 4
/** Connections of who only follows the log. */
const followers = 2

/**
 * The log in PostgreSQL, once this process is the only one that writes it: it has the lock of the database, on a connection of its own.
 * Makes the tables at first. Throws PostgresError where that can't be, at once for what waiting would not change: rights, a password, a
 * server that confirms what is not on its disk.
 */
export async function openPostgresStore({ settings, wait, signal, onWaiting = () => {}, timing: given = {} }: OpenPostgresOptions): Promise<LogStore> {
  const timing = { ...postgresTiming, ...given }
  const place = placeOf(settings.address)
  const lockConfig = { ...(await clientConfig(settings, timing, timing.leaseMs)), query_timeout: timing.leaseMs }

  let reason = ''
  for (;;) {
    signal?.throwIfAborted()
    try {
      const client = await connect(lockConfig, place)
      try {
        const { lock, token } = await becomeWriter(client, timing, { wait, ...(signal === undefined ? {} : { signal }), onWaiting: (why) => tell(why, 'writer') })
        return await storeOf({ settings, timing, place, lock, token })
      } catch (thrown) {
        await disconnect(client)
        throw thrown
      }
    } catch (thrown) {
      if (!wait || !(thrown instanceof PostgresError) || !thrown.passing) throw thrown
      tell(thrown.message, 'database')
      await delay(timing.retryMs, undefined, signal === undefined ? {} : { signal })
    }
  }

  function tell(why: string, what: 'writer' | 'database'): void {
    if (why !== reason) onWaiting({ why, for: what })
    reason = why
  }
}

/** The log as it stands, for who only reads it, beside the process that writes it. */
export async function openPostgresReader(settings: PostgresSettings, given: Partial<PostgresTiming> = {}): Promise<LogReader & Pick<LogStore, 'close'>> {
  const timing = { ...postgresTiming, ...given }
  const { run, close } = connections(await clientConfig(settings, timing), placeOf(settings.address), followers, async () => {})
  return { ...logReader(run), close }
}

/** A second writer beside the one that has the lock: for the tests, which look whether the database keeps it out. */
export async function openBesideTheLock(settings: PostgresSettings): Promise<LogStore> {
  const place = placeOf(settings.address)
  const client = await connect(await clientConfig(settings, postgresTiming), place)
  const rows = await runOn(client)<{ writer: string }>({ what: 'reading the token', text: 'SELECT writer FROM intramuros_audit.head' })
  const lock = { lost: new AbortController().signal, release: async () => await disconnect(client) }
  return await storeOf({ settings, timing: postgresTiming, place, lock, token: rows[0]?.writer ?? '' })
}

interface Waiting {
  wait: boolean
  signal?: AbortSignal
  onWaiting(why: string): void
}

async function becomeWriter(client: Client, timing: PostgresTiming, { wait, signal, onWaiting }: Waiting): Promise<{ lock: HeldLock; token: string }> {
  const run = runOn(client)
  await checkServer(run)
  while (!(await tryLock(run))) {
    if (!wait) throw new PostgresError('Another process writes this log in PostgreSQL.', { stored: 'no', passing: true })
    onWaiting('Another process writes this log in PostgreSQL: this one stands by.')
    await delay(timing.retryMs, undefined, signal === undefined ? {} : { signal })
  }
  await migrate(run)
  await checkTables(run)
  const token = await claim(run)
  return { lock: holdLock(client, timing), token }
}

/**
 * Shuts out what the writer before may still have under way. Said on the connection that has the lock, so that it can't be done after
 * another process got it.
 */
async function claim(run: Run): Promise<string> {
  const token = randomUUID()
  await run({ what: 'becoming the writer of the log', text: 'UPDATE intramuros_audit.head SET writer = $1', values: [token] })
  // A statement of its own: the one above sees the entries as they were before an append that it has waited for.
  const rows = await run<{ size: string; entries: string }>({
    what: 'looking at the end of the log',
    text: 'SELECT size, (SELECT coalesce(max(index) + 1, 0) FROM intramuros_audit.entry) AS entries FROM intramuros_audit.head',
  })
  const [row] = rows
  if (row === undefined || row.size !== row.entries) {
    const found = row === undefined ? 'no head' : `a head at ${row.size} and ${row.entries} entries`
    throw new LogBrokenError(`The log in PostgreSQL has ${found}: rows were lost, removed or put back from another time.`)
  }
  return token
}

interface StoreParts {
  settings: PostgresSettings
  timing: PostgresTiming
  place: string
  lock: HeldLock
  token: string
}

async function storeOf({ settings, timing, place, lock, token }: StoreParts): Promise<LogStore> {
  const config = await clientConfig(settings, timing)
  const writing = connections(config, place, 1, checkServer)
  const reading = connections(config, place, readers, async () => {})
  const reader = logReader(reading.run)
  const writer = logWriter(async (statement) => {
    lock.lost.throwIfAborted()
    return await writing.run(statement)
  }, token)

  return {
    ...reader,
    append: writer.append,
    publish: writer.publish,
    prune: writer.prune,
    async head() {
      return (await writer.settledHead()) ?? (await reader.head())
    },
    lost: lock.lost,
    async close() {
      await Promise.all([writing.close(), reading.close()])
      await lock.release()
    },
  }
}
