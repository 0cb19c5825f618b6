import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openPostgresStore } from '../../services/audit/store/postgres/open-postgres-store.ts'
import { ModelLog } from '../../services/audit/store/test-support/model-log.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { leafHashes } from '../../services/audit/tlog/merkle.ts'
import { type PostgresServer, postgresPrograms, startPostgres } from '../support/postgres.ts'
import { percentile } from './statistics.ts'

/**
 * How fast PostgreSQL stores the log, in groups of 1 to 256, against the bare limit of the same server in the same run: pgbench, one
 * client that inserts as many rows of the same length by one statement into a table with a key and nothing else. And how long it
 * takes until another process can write. `--quick`: a second each.
 */
const entryBytes = 600
const seconds = process.argv.includes('--quick') ? 1 : 8
const rounds = process.argv.includes('--quick') ? 1 : 3

const server = await startPostgres({ settings: { shared_buffers: '256MB', max_wal_size: '4GB' } })
try {
  print(`entries of ${entryBytes} bytes; the median of ${rounds} rounds of ${seconds} s each; in turns with pgbench`)
  print('group | log: entries/s, groups/s, p50 ms, p99 ms | pgbench: groups/s, ms | limit / log')
  for (const group of [1, 16, 64, 256]) {
    const ours: Figures[] = []
    const bare: number[] = []
    for (let round = 0; round < rounds; round++) {
      bare.push(await pgbench(server, group))
      ours.push(await appends(server, group))
    }
    const log = ours.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(rounds / 2)] ?? { perSecond: Number.NaN, p50: Number.NaN, p99: Number.NaN }
    const limit = bare.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN
    const shown = [log.perSecond * group, log.perSecond].map((number) => number.toFixed(0)).join(', ')
    print(`${group} | ${shown}, ${log.p50.toFixed(2)}, ${log.p99.toFixed(2)} | ${limit.toFixed(0)}, ${(1000 / limit).toFixed(2)} | ${(limit / log.perSecond).toFixed(2)}`)
  }
  const times: number[] = []
  for (let time = 0; time < (rounds === 1 ? 3 : 15); time++) times.push(await takeover(server))
  print(`take-over after the writer's connection broke: p50 ${percentile(times, 0.5).toFixed(0)} ms, longest ${Math.max(...times).toFixed(0)} ms of ${times.length}`)
} finally {
  await server.remove()
}

interface Figures {
  /** Groups. */
  perSecond: number
  p50: number
  p99: number
}

async function appends(server: PostgresServer, group: number): Promise<Figures> {
  const database = await server.createDatabase()
  const store = await openPostgresStore({ settings: server.settingsOf(database), wait: false })
  try {
    let edge = emptyEdge
    const times: number[] = []
    const begun = performance.now()
    for (let number = 0; performance.now() - begun < seconds * 1000; number++) {
      // What the sequencer does with records that are encoded already, as a part of each append.
      const start = performance.now()
      const entries = Array.from({ length: group }, (_, at) => entry(number, at))
      const next = extendEdge(edge, leafHashes(entries))
      await store.append({ from: { size: edge.size, root: edgeRoot(edge) }, to: { size: next.edge.size, root: edgeRoot(next.edge) }, entries, tiles: next.full })
      edge = next.edge
      times.push(performance.now() - start)
    }
    return { perSecond: times.length / ((performance.now() - begun) / 1000), p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
  } finally {
    await store.close()
    await server.query('postgres', `DROP DATABASE ${database} WITH (FORCE)`)
  }
}

/** As long as a record; PostgreSQL compresses none so short. */
function entry(number: number, at: number): Buffer {
  return Buffer.alloc(entryBytes, `{"request.begin":"${number}.${at}","team":"cardiology","model":"smollm2-135m-instruct"}`)
}

/** Statements per second. */
async function pgbench(server: PostgresServer, group: number): Promise<number> {
  const database = await server.createDatabase()
  await server.query(database, 'CREATE TABLE bare (index bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data bytea)')
  const script = join(server.folder, 'insert.sql')
  const values = Array.from({ length: group }, (_, at) => `('\\x${entry(0, at).toString('hex')}')`).join(',')
  await writeFile(script, `INSERT INTO bare (data) VALUES ${values};\n`)
  const args = ['-n', '-c', '1', '-j', '1', '-M', 'prepared', '-T', String(seconds), '-f', script, '-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres', database]
  const running = spawn(join(await postgresPrograms(), 'pgbench'), args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [running.stdout, running.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  const [status] = (await once(running, 'close')) as [number | null]
  const perSecond = Number(/^tps = ([0-9.]+)/m.exec(said)?.[1] ?? Number.NaN)
  if (status !== 0 || Number.isNaN(perSecond)) throw new Error(`pgbench ended with ${status}:\n${said}`)
  await server.query('postgres', `DROP DATABASE ${database} WITH (FORCE)`)
  return perSecond
}

/** From the end of the writer's connection to the first append of the one that stood by; milliseconds. */
async function takeover(server: PostgresServer): Promise<number> {
  const database = await server.createDatabase()
  const settings = server.settingsOf(database)
  const first = await openPostgresStore({ settings, wait: false })
  const { promise: standsBy, resolve } = Promise.withResolvers<void>()
  const opening = openPostgresStore({ settings, wait: true, onWaiting: () => resolve() })
  await standsBy
  const begun = performance.now()
  await server.query('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)`)
  const second = await opening
  await new ModelLog().append(second, [entry(0, 0)])
  const time = performance.now() - begun
  await second.close()
  await first.close()
  return time
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
