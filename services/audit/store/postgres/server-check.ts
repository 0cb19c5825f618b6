import type { Run } from './connection.ts'
import { PostgresError } from './postgres-error.ts'

const oldest = 140_000

/** Whether what the server confirms is on its disk. Each connection asks before it is used, and the one that holds the lock ever again. */
export async function checkServer(run: Run): Promise<void> {
  const [server] = await run<{ commit: string; fsync: string; pages: string; version: number; recovering: boolean }>({
    what: 'asking for its settings',
    text: `SELECT current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
      current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS recovering`,
  })
  if (server === undefined) throw refusal('does not tell its settings')
  if (server.version < oldest) throw refusal('is older than version 14, which is needed')
  if (server.recovering) throw new PostgresError('PostgreSQL is a read-only replica: audit.postgres.url has to lead to the primary.', { stored: 'no', passing: true })
  if (server.fsync !== 'on') throw refusal('has fsync off: what it confirms may be lost at a power failure. Switch it on (fsync = on)')
  if (server.pages !== 'on') throw refusal('has full_page_writes off: a power failure may tear its pages. Switch it on (full_page_writes = on)')
  if (server.commit !== 'on') throw refusal(`has synchronous_commit ${server.commit} although this session asks for it to be on. Is there a connection pooler in between? It has to be a direct connection`)
}

/** A table that is emptied when the server restarts after a crash is no place for a log. */
export async function checkTables(run: Run): Promise<void> {
  const volatile = await run<{ name: string }>({
    what: 'asking for its tables',
    text: `SELECT relname AS name FROM pg_class WHERE relnamespace = 'intramuros_audit'::regnamespace AND relkind IN ('r', 'p') AND relpersistence <> 'p'`,
  })
  if (volatile.length > 0) throw refusal(`has the table intramuros_audit.${volatile[0]?.name ?? ''} as an unlogged one, which a crash empties`)
}

function refusal(found: string): PostgresError {
  return new PostgresError(`The log is not written to this PostgreSQL, which ${found}.`, { stored: 'no', passing: false })
}
