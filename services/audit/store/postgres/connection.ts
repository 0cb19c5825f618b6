import { readFile } from 'node:fs/promises'
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient, type QueryResultRow } from 'pg'
import { isLocalPostgres, type PostgresAddress } from '../../../shared/config/postgres-url.ts'
import { connectError, PostgresError, statementError } from './postgres-error.ts'
import type { PostgresTiming } from './timing.ts'

export interface PostgresSettings {
  address: PostgresAddress
  /** File of the password, read for each connection; empty: there is none. */
  passwordFile: string
  tls: 'auto' | 'verify-full' | 'off'
  /** PEM file; empty: the CAs that Node.js trusts. */
  caFile: string
}

/** A statement, and what it is for, as errors tell it: after "PostgreSQL failed:". */
export interface Statement {
  what: string
  /** Prepared once for each connection under this name. */
  name?: string
  text: string
  values?: readonly unknown[]
}

export type Run = <Row extends QueryResultRow>(statement: Statement) => Promise<Row[]>

/** What a session sets for itself. `idleMs`: the server ends it after so long without a statement; 0: never. */
export function sessionOptions({ answerMs }: PostgresTiming, idleMs: number): string {
  const settings = {
    synchronous_commit: 'on',
    default_transaction_isolation: 'read\\ committed',
    default_transaction_read_only: 'off',
    statement_timeout: Math.ceil(answerMs * 0.8),
    lock_timeout: Math.ceil(answerMs * 0.5),
    idle_in_transaction_session_timeout: answerMs,
    idle_session_timeout: idleMs,
    // A peer that is gone without a word, as the server sees it; seconds.
    tcp_keepalives_idle: 5,
    tcp_keepalives_interval: 2,
    tcp_keepalives_count: 3,
  }
  return Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`).join(' ')
}

export async function clientConfig(settings: PostgresSettings, timing: PostgresTiming, idleMs = 0): Promise<ClientConfig> {
  const { address, passwordFile, tls } = settings
  const encrypted = tls === 'verify-full' || (tls === 'auto' && !isLocalPostgres(address))
  return {
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    // Always a function: otherwise the driver looks for one in PGPASSWORD and ~/.pgpass.
    password: () => readPassword(passwordFile),
    // Never undefined: otherwise PGSSLMODE has a say. The driver checks the name, and refuses a server without TLS.
    ssl: encrypted && !address.host.startsWith('/') ? { rejectUnauthorized: true, ...(settings.caFile === '' ? {} : { ca: await readCa(settings.caFile) }) } : false,
    sslnegotiation: 'postgres',
    application_name: 'intramuros-audit',
    options: sessionOptions(timing, idleMs),
    keepAlive: true,
    keepAliveInitialDelayMillis: 5000,
    connectionTimeoutMillis: timing.answerMs,
    query_timeout: timing.answerMs,
  }
}

export function placeOf({ host, port, database }: PostgresAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`
}

/** What its statements are run with: at most `max` connections, made when they are wanted and again after one broke. */
export interface Connections {
  run: Run
  close(): Promise<void>
}

export function connections(config: ClientConfig, place: string, max: number, greet: (run: Run) => Promise<void>): Connections {
  const open = new Set<Client>()
  // The pool waits for the promise, of which its types do not tell.
  const onConnect = (async (client: ClientBase) => await greet(runOn(client as Client))) as (client: ClientBase) => void
  const pool = new Pool({ ...config, max, idleTimeoutMillis: 0, onConnect })
  pool.on('connect', (client) => open.add(client))
  pool.on('remove', (client) => open.delete(client))
  // One that broke while nothing ran on it: the next statement makes another.
  pool.on('error', () => undefined)

  return {
    async run<Row extends QueryResultRow>(statement: Statement) {
      const client = await checkOut(pool, place)
      client.on('error', ignore)
      try {
        const rows = await runOn(client)<Row>(statement)
        client.release()
        return rows
      } catch (thrown) {
        // Whatever it was: a new connection is in a known state.
        client.release(true)
        throw thrown
      } finally {
        client.off('error', ignore)
      }
    },
    async close() {
      await withinMs(pool.end(), 1000)
      for (const client of open) destroy(client)
    },
  }
}

/** A connection of its own. Its end is for the caller to notice. */
export async function connect(config: ClientConfig, place: string): Promise<Client> {
  const client = new Client(config)
  client.on('error', ignore)
  try {
    await client.connect()
    return client
  } catch (thrown) {
    destroy(client)
    throw connectError(thrown, place)
  }
}

export async function disconnect(client: Client): Promise<void> {
  await withinMs(client.end(), 1000)
  destroy(client)
}

export function runOn(client: Client): Run {
  return async <Row extends QueryResultRow>({ what, name, text, values = [] }: Statement) => {
    try {
      const { rows } = await client.query<Row>({ ...(name === undefined ? {} : { name }), text, values: [...values] })
      return rows
    } catch (thrown) {
      throw statementError(thrown, what)
    }
  }
}

async function checkOut(pool: Pool, place: string): Promise<PoolClient> {
  try {
    return await pool.connect()
  } catch (thrown) {
    throw connectError(thrown, place)
  }
}

async function readPassword(file: string): Promise<string> {
  if (file === '') throw new PostgresError('PostgreSQL asks for a password: audit.postgres.passwordFile names the file that holds it.', { stored: 'no', passing: false })
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (thrown) {
    throw unreadable('passwordFile', file, thrown)
  }
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (thrown) {
    throw unreadable('caFile', file, thrown)
  }
}

function unreadable(setting: string, file: string, thrown: unknown): PostgresError {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'
  return new PostgresError(`audit.postgres.${setting}: ${file} can't be read (${code}).`, { stored: 'no', passing: false })
}

function destroy(client: Client): void {
  client.connection.stream.destroy()
}

function ignore(): void {}

async function withinMs(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await Promise.race([promise.catch(ignore), over])
  clearTimeout(timer)
}
