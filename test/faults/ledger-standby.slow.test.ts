import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { openPostgresReader } from '../../services/audit/store/postgres/open-postgres-store.ts'
import { decodeRecord } from '../../services/audit/records/record.ts'
import { openPostgresSource } from '../../services/audit/verify/postgres-source.ts'
import { verifyLog } from '../../services/audit/verify/verify-folder.ts'
import { exitStatus } from '../../services/shared/supervision.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { runProgram } from '../support/run-program.ts'
import { type AuditProcess, startAudit } from './support/audit-process.ts'

// Two audit services over one real PostgreSQL, which the tests start.
const timeout = 120_000
let server: PostgresServer
let database: string
let platform: Platform | undefined
let alone: AuditProcess | undefined
let folder: string
beforeAll(async () => void (server = await startPostgres({ access: ['local all all trust', 'host all secretive all scram-sha-256', 'host all all all trust'] })))
afterAll(() => server.remove())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-standby-'))
  database = await server.createDatabase()
})
afterEach(async () => {
  await platform?.stop()
  await alone?.stop()
  platform = undefined
  alone = undefined
  await rm(folder, { recursive: true, force: true })
})

function urlOf(user = 'postgres'): string {
  return `postgres://${user}@127.0.0.1:${server.port}/${database}`
}

async function records(): Promise<Record<string, unknown>[]> {
  const reader = await openPostgresReader(server.settingsOf(database))
  try {
    const { size } = await reader.head()
    return (await Array.fromAsync(reader.entries(0, size))).map((entry) => ({ ...(entry === undefined ? undefined : decodeRecord(entry)) }))
  } finally {
    await reader.close()
  }
}

interface Load {
  answered: string[]
  refused: number
  /** Milliseconds. */
  slowest: number
  stop(): Promise<void>
}

function load(on: Platform): Load {
  let over = false
  const state: Load = {
    answered: [],
    refused: 0,
    slowest: 0,
    async stop() {
      over = true
      await Promise.all(clients)
    },
  }
  const client = async (): Promise<void> => {
    while (!over) {
      const began = performance.now()
      const reply = await send(on, chatBody(on))
      state.slowest = Math.max(state.slowest, performance.now() - began)
      if (reply.status === 200) state.answered.push(String(reply.headers['x-request-id']))
      else {
        expect(reply.status).toBe(503)
        state.refused += 1
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  const clients = Array.from({ length: 4 }, client)
  return state
}

async function readyz(role: 'audit' | 'standby'): Promise<number | undefined> {
  return (await fetch(`${platform?.monitor(role)}/readyz`).catch(() => undefined))?.status
}

/** Milliseconds until answers come again. */
async function resumed(under: Load, limitMs = 30_000): Promise<number> {
  const [began, before] = [performance.now(), under.answered.length]
  await until(() => under.answered.length > before + 8, 'answers again', limitMs)
  return performance.now() - began
}

async function expectAllRecorded(answered: readonly string[]): Promise<Record<string, unknown>[]> {
  const vkey = (await readFile(join(platform?.home ?? '', 'audit-key/log.pub'), 'utf8')).trim()
  expect(await verifyLog(() => openPostgresSource(server.settingsOf(database)), { vkey })).toMatchObject({ ok: true, keyChecked: true })
  const all = await records()
  const ended = new Set(all.filter(({ type, outcome }) => type === 'request.end' && outcome === 'completed').map(({ requestId }) => requestId))
  expect(answered.filter((id) => !ended.has(id))).toEqual([])
  return all
}

async function startBoth(): Promise<Platform> {
  // As in a cluster: gateways ask whichever audit service writes for teams and keys.
  const env = { INTRAMUROS_AUDIT_POSTGRES_URL: urlOf(), INTRAMUROS_AUDIT_ORPHAN_SECONDS: '2', INTRAMUROS_AUDIT_DIRECTORY: 'true', INTRAMUROS_GATEWAY_DIRECTORY: 'audit' }
  platform = await startPlatform({ standby: true, workers: [{ tokens: 4 }], env })
  await until(async () => (await readyz('standby')) === 503, 'the standby to stand by')
  return platform
}

test('kill -9 of the one that writes: the standby takes over in seconds, and back; nothing that was answered is missing', async () => {
  const both = await startBoth()
  expect((await fetch(`${both.monitor('standby')}/livez`)).status).toBe(200)
  const under = load(both)
  try {
    await until(() => under.answered.length > 20, 'answers')
    await both.kill('audit')
    expect(await resumed(under)).toBeLessThan(8000)
    expect(await readyz('standby')).toBe(200)
    // So that a setting that is changed from now on is noticed here, too.
    const settings = async () => (JSON.parse(await readFile(join(both.home, 'standby-key/settings.json'), 'utf8').catch(() => '{"services":{}}')) as { services: object }).services
    await until(async () => Object.keys(await settings()).length === 1, 'the settings of the gateway to be told')
    await both.restart('audit')
    await until(async () => (await readyz('audit')) === 503, 'the first to stand by')
    await both.kill('standby')
    expect(await resumed(under)).toBeLessThan(8000)
  } finally {
    await under.stop()
  }
  const all = await expectAllRecorded(under.answered)
  expect(all.filter(({ type }) => type === 'log.opened').map(({ clean }) => clean)).toEqual([true, false, false])
  // What the killed ones had open is closed.
  await until(async () => {
    const now = await records()
    const closed = new Set(now.filter(({ type }) => type === 'request.end').map(({ requestId }) => requestId))
    return now.every(({ type, requestId }) => type !== 'request.begin' || closed.has(requestId))
  }, 'open records to be closed')
}, timeout)

test('teams and keys are those of both: a key that is made beside either counts, and one that was revoked never again', async () => {
  const both = await startBoth()
  // As in the pod of one, or of the other.
  const intramuros = async (...args: string[]): Promise<string> => {
    const env = [`INTRAMUROS_HOME=${both.home}`, `INTRAMUROS_AUDIT_POSTGRES_URL=${urlOf()}`, 'INTRAMUROS_AUDIT_DIRECTORY=true']
    return await runProgram('env', [...env, process.execPath, 'services/cli/main.ts', ...args], { timeoutMs: 20_000 })
  }
  const newKey = async (): Promise<{ id: string; secret: string }> => JSON.parse(await intramuros('keys', 'create', '--team', 'ward', '--json')) as { id: string; secret: string }
  const status = async (key: string): Promise<number> => (await send({ ...both, key }, chatBody(both))).status
  const counts = (key: string, wanted: number): Promise<void> => until(async () => (await status(key)) === wanted, `a key to get ${wanted}`, 30_000)

  await intramuros('teams', 'add', 'ward')
  const [first, revoked] = [await newKey(), await newKey()]
  await counts(first.secret, 200)
  await counts(revoked.secret, 200)
  await intramuros('keys', 'revoke', revoked.id)
  await counts(revoked.secret, 401)
  await both.kill('audit')
  // While nobody writes, too.
  const second = await newKey()
  await until(async () => (await readyz('standby')) === 200, 'the standby to take over', 30_000)
  await counts(second.secret, 200)
  expect([await status(both.key), await status(first.secret), await status(revoked.secret)]).toEqual([200, 200, 401])
  await both.restart('audit')
  await until(async () => (await readyz('audit')) === 503, 'the first to stand by')
  await both.kill('standby')
  const third = await newKey()
  await counts(third.secret, 200)
  expect([await status(both.key), await status(second.secret), await status(revoked.secret)]).toEqual([200, 200, 401])
  const changes = async () => (await records()).filter(({ type, team }) => type === 'directory.changed' && team === 'ward').map(({ event, keyId }) => [event, keyId])
  await until(async () => (await changes()).length >= 6, 'the last change to be recorded')
  expect(await changes()).toEqual([['team.created', ''], ['key.created', first.id], ['key.created', revoked.id], ['key.revoked', revoked.id], ['key.created', second.id], ['key.created', third.id]])
}, timeout)

test('connections that are cut: the writer ends with status 75, the other takes over, the first stands by', async () => {
  const both = await startBoth()
  const under = load(both)
  try {
    await until(() => under.answered.length > 10, 'answers')
    const first = both.process('audit')
    await server.query('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'intramuros-audit'`)
    expect(await resumed(under)).toBeLessThan(10_000)
    await until(() => first.exitCode !== null, 'the first to end')
    expect(first.exitCode).toBe(exitStatus.again)
    const [one, other] = [await readyz('audit'), await readyz('standby')]
    expect([one, other].filter((status) => status === 200)).toHaveLength(1)
  } finally {
    await under.stop()
  }
  await expectAllRecorded(under.answered)
}, timeout)

test('one that hangs is replaced once the server has ended its session, and writes no more when it goes on', async () => {
  const both = await startBoth()
  const under = load(both)
  const hung = both.process('audit')
  try {
    await until(() => under.answered.length > 10, 'answers')
    hung.kill('SIGSTOP')
    await until(async () => (await readyz('standby')) === 200, 'the standby to take over', 30_000)
    await resumed(under)
    hung.kill('SIGCONT')
    await until(() => hung.exitCode !== null, 'the one that hung to end')
    expect(hung.exitCode).toBe(exitStatus.again)
    await resumed(under)
  } finally {
    hung.kill('SIGCONT')
    await under.stop()
  }
  expect(under.slowest).toBeLessThan(30_000)
  await expectAllRecorded(under.answered)
}, timeout)

test('PostgreSQL stops and starts: 503 within bounded time, answers again by itself, and the gap is a record', async () => {
  const both = await startBoth()
  const under = load(both)
  try {
    await until(() => under.answered.length > 10, 'answers')
    await server.stop()
    const before = under.refused
    await until(() => under.refused > before + 8, 'refusals', 15_000)
    await server.start()
    expect(await resumed(under)).toBeLessThan(20_000)
  } finally {
    await under.stop()
  }
  expect(under.slowest).toBeLessThan(15_000)
  const all = await expectAllRecorded(under.answered)
  expect(all.filter(({ type }) => type === 'log.gap')).toMatchObject([{ reason: 'store_down' }])
}, timeout)

test('one that is told to end while it stands by or waits ends at once; it waits for a server that is down', async () => {
  const home = join(folder, 'home')
  await server.stop()
  try {
    alone = await startAudit({ home, env: { INTRAMUROS_AUDIT_POSTGRES_URL: urlOf() } })
    await alone.live()
    expect(await alone.readyz()).toBe(503)
    alone.child.kill('SIGTERM')
    expect(await alone.ended).toBe(0)
    alone = await startAudit({ home, env: { INTRAMUROS_AUDIT_POSTGRES_URL: urlOf() } })
    const { output } = alone
    await until(() => output().includes('waits for PostgreSQL'), 'the service to wait')
  } finally {
    await server.start()
  }
  const { readyz: state } = alone
  await until(async () => (await state()) === 200, 'the service to be ready')
  await until(async () => (await records()).length >= 2, 'the first records')
  expect((await records()).map(({ type }) => type).slice(0, 2)).toEqual(['log.gap', 'log.opened'])
}, timeout)

test.each([
  ['a password that is wrong', () => server.query('postgres', `CREATE ROLE secretive LOGIN PASSWORD 'the right one'`), () => urlOf('secretive'), /password authentication failed.*is audit\.postgres\.passwordFile right/],
  ['a database that is not there', () => Promise.resolve([]), () => `${urlOf()}_not`, /does not exist/],
  [
    'tables of a newer release',
    () => server.query(database, 'CREATE SCHEMA intramuros_audit; CREATE TABLE intramuros_audit.version (one boolean PRIMARY KEY DEFAULT true, number int); INSERT INTO intramuros_audit.version (number) VALUES (99)'),
    () => urlOf(),
    /newer release/,
  ],
])('%s is a setting to be mended: status 78', async (_, prepare, url, message) => {
  await prepare()
  await writeFile(join(folder, 'password'), 'another one\n')
  alone = await startAudit({ home: join(folder, 'home'), env: { INTRAMUROS_AUDIT_POSTGRES_URL: url(), INTRAMUROS_AUDIT_POSTGRES_PASSWORD_FILE: join(folder, 'password') } })
  expect(await alone.ended).toBe(exitStatus.configuration)
  expect(alone.output()).toMatch(message)
}, timeout)

test('a standby without the key of the log says so at once: status 65', async () => {
  alone = await startAudit({ home: join(folder, 'home'), env: { INTRAMUROS_AUDIT_POSTGRES_URL: urlOf() } })
  const { readyz: state } = alone
  await until(async () => (await state()) === 200, 'the service to be ready')
  const second = await startAudit({ home: join(folder, 'second'), env: { INTRAMUROS_AUDIT_POSTGRES_URL: urlOf() } })
  try {
    expect(await second.ended).toBe(exitStatus.badData)
    expect(second.output()).toContain('audit.keyFile')
  } finally {
    await second.stop()
  }
}, timeout)
