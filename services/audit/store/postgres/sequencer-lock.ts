import type { Client } from 'pg'
import { StoreError } from '../store.ts'
import { disconnect, type Run, runOn } from './connection.ts'
import { PostgresError } from './postgres-error.ts'
import { checkServer } from './server-check.ts'
import type { PostgresTiming } from './timing.ts'

/** The first 8 bytes of the SHA-256 of "intramuros_audit", as a signed number: locks belong to one database. */
const lockKey = '2028246256744939050'

export async function tryLock(run: Run): Promise<boolean> {
  const [row] = await run<{ got: boolean }>({ what: 'asking for the lock', text: `SELECT pg_try_advisory_lock(${lockKey}) AS got` })
  return row?.got === true
}

/** The lock of the one process that writes the log. */
export interface HeldLock {
  /** Aborts, with a StoreError, when it may be another's. */
  readonly lost: AbortSignal
  release(): Promise<void>
}

/**
 * Keeps a lock that `client` has. The server drops it with the connection, and ends that when it hears nothing for leaseMs: so a process
 * that hangs, or that the network cuts off, does not keep others from writing. Nor does this side wait longer for an answer.
 */
export function holdLock(client: Client, { beatMs }: PostgresTiming): HeldLock {
  const lost = new AbortController()
  let over = false
  let timer: NodeJS.Timeout | undefined = undefined

  const end = async (why?: string): Promise<void> => {
    if (over) return
    over = true
    clearTimeout(timer)
    if (why !== undefined) lost.abort(new StoreError(`This process no longer holds the lock of the log in PostgreSQL: ${why}`, { stored: 'no' }))
    await disconnect(client)
  }

  const beat = async (): Promise<void> => {
    try {
      await checkServer(runOn(client))
    } catch (thrown) {
      // A statement that the server gave up, as it does when it is slow, leaves the connection and so the lock as they are.
      const harmless = thrown instanceof PostgresError && thrown.passing && thrown.stored === 'no'
      if (!harmless) await end(thrown instanceof Error ? thrown.message : 'unknown error')
    }
    if (!over) timer = setTimeout(() => void beat(), beatMs)
  }

  client.on('error', () => void end('its connection broke.'))
  client.on('end', () => void end('its connection was ended.'))
  timer = setTimeout(() => void beat(), beatMs)
  return { lost: lost.signal, release: () => end() }
}
