import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import type { PostgresSettings } from '../../services/audit/store/postgres/connection.ts'
import { freePort } from './free-port.ts'
import { runProgram } from './run-program.ts'

/** A PostgreSQL server of its own, on a free port of loopback and a socket in a folder of its own, where everybody is trusted. */
export interface PostgresServer {
  port: number
  /** Of its socket. */
  folder: string
  /** Makes an empty database. */
  createDatabase(): Promise<string>
  settingsOf(database: string, user?: string): PostgresSettings
  /** As the superuser: the rows of the answer. */
  query(database: string, text: string): Promise<Record<string, unknown>[]>
  /** Stops all its processes, so that it hangs, and lets them go on. */
  pause(): Promise<void>
  resume(): void
  /** kill -9, all its processes. */
  kill(): Promise<void>
  /** After kill() or stop(). `settings` from now on. */
  start(settings?: Readonly<Record<string, string>>): Promise<void>
  stop(): Promise<void>
  /** Stops it and removes its files. */
  remove(): Promise<void>
}

export interface PostgresServerOptions {
  /** Of postgresql.conf. */
  settings?: Readonly<Record<string, string>>
  /** Of pg_hba.conf; without it, everybody is trusted. */
  access?: readonly string[]
  /** Speaks TLS too, with this certificate and its key, PEM in one text. */
  certificate?: string
}

const superuser = 'postgres'

export async function startPostgres({ settings = {}, access, certificate }: PostgresServerOptions = {}): Promise<PostgresServer> {
  const bin = await postgresPrograms()
  const owner = serverUser()
  const folder = await mkdtemp(join(tmpdir(), 'intramuros-postgres-'))
  const data = join(folder, 'data')
  const own = async (path: string): Promise<void> => (owner === undefined ? undefined : await chown(path, owner.uid, owner.gid))
  await own(folder)
  const port = await freePort()
  let server: ChildProcess | undefined
  let given = { ...settings }
  let databases = 0

  await runAs(owner, join(bin, 'initdb'), ['-D', data, '-U', superuser, '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'])
  if (access !== undefined) await writeFile(join(data, 'pg_hba.conf'), `${access.join('\n')}\n`)
  if (certificate !== undefined) {
    const file = join(folder, 'server.pem')
    await writeFile(file, certificate, { mode: 0o600 })
    await own(file)
    given = { ssl: 'on', ssl_cert_file: file, ssl_key_file: file, ...given }
  }

  async function query(database: string, text: string): Promise<Record<string, unknown>[]> {
    const client = new Client({ host: folder, port, user: superuser, database, ssl: false, connectionTimeoutMillis: 5000, query_timeout: 20_000 })
    client.on('error', () => undefined)
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  async function start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    given = { ...given, ...settings }
    const all = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: folder, max_connections: '40', shared_buffers: '32MB', ...given }
    const args = ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
    let said = ''
    const end = Date.now() + 30_000
    do {
      const started = spawn(join(bin, 'postgres'), args, { ...owner, stdio: ['ignore', 'ignore', 'pipe'] })
      started.stderr.setEncoding('utf8').on('data', (text: string) => {
        said = `${said}${text}`.slice(-4000)
      })
      server = started
      while (started.exitCode === null && started.signalCode === null && Date.now() < end) {
        if (await query('postgres', 'SELECT 1').then(() => true, () => false)) return
        await delay(20)
      }
      await delay(20)
      // After a crash it refuses to start until the last process of before is gone.
    } while (/shared memory/.test(said) && Date.now() < end)
    throw new Error(`PostgreSQL has not started:\n${said}`)
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const running = server
    server = undefined
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const gone = once(running, 'exit')
    const others = signal === 'SIGKILL' ? childrenOf(running.pid) : []
    running.kill('SIGCONT')
    running.kill(signal)
    for (const pid of others) killIfThere(pid, 'SIGKILL')
    const limit = setTimeout(() => running.kill('SIGKILL'), 10_000)
    await gone
    clearTimeout(limit)
  }

  await start()
  return {
    port,
    folder,
    async createDatabase() {
      const name = `log_${++databases}`
      await query('postgres', `CREATE DATABASE ${name}`)
      return name
    },
    settingsOf: (database, user = superuser) => ({ address: { user, host: '127.0.0.1', port, database }, passwordFile: '', tls: 'auto', caFile: '' }),
    query,
    async pause() {
      const pid = server?.pid
      killIfThere(pid, 'SIGSTOP')
      for (const child of childrenOf(pid)) killIfThere(child, 'SIGSTOP')
      await until(async () => /^State:\s+T/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State: T')))
    },
    resume() {
      for (const child of childrenOf(server?.pid)) killIfThere(child, 'SIGCONT')
      killIfThere(server?.pid, 'SIGCONT')
    },
    kill: () => end('SIGKILL'),
    start,
    stop: () => end('SIGINT'),
    async remove() {
      await end('SIGQUIT')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The folder of initdb, postgres and pgbench. */
export async function postgresPrograms(): Promise<string> {
  const debian = '/usr/lib/postgresql'
  const versions = (await readdir(debian).catch(() => [])).toSorted((a, b) => Number(b) - Number(a))
  const folders = [...versions.map((version) => join(debian, version, 'bin')), ...(process.env['PATH'] ?? '').split(delimiter), '/opt/homebrew/opt/postgresql/bin']
  const found = folders.find((folder) => ['initdb', 'postgres'].every((program) => existsSync(join(folder, program))))
  if (found === undefined) throw new Error('These tests need PostgreSQL, 14 or later; on Debian and Ubuntu: apt-get install postgresql')
  return found
}

interface User {
  uid: number
  gid: number
}

/** PostgreSQL refuses to run as root. */
function serverUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = ['-u', '-g'].map((what) => Number(execFileSync('id', [what, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })))
      if (uid !== undefined && gid !== undefined) return { uid, gid }
    } catch {
      // There is no such user.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody')
}

async function runAs(user: User | undefined, program: string, args: readonly string[]): Promise<void> {
  if (user === undefined) return void (await runProgram(program, args, { timeoutMs: 60_000 }))
  const running = spawn(program, args, { ...user, stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 })
  let said = ''
  running.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [status] = (await once(running, 'close')) as [number | null]
  if (status !== 0) throw new Error(`${program} ended with ${status}:\n${said}`)
}

function childrenOf(pid: number | undefined): number[] {
  if (pid === undefined) return []
  try {
    return execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' }).trim().split('\n').map(Number)
  } catch {
    return []
  }
}

function killIfThere(pid: number | undefined, signal: NodeJS.Signals | 0): boolean {
  try {
    return pid !== undefined && process.kill(pid, signal)
  } catch {
    return false
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 5000; !(await condition()); await delay(5)) if (Date.now() > end) throw new Error('PostgreSQL was not stopped within 5 seconds')
}
