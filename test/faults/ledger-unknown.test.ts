import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { OpenLog } from '../../services/audit/open-log.ts'
import { decodeRecord } from '../../services/audit/records/record.ts'
import { openFolderStore } from '../../services/audit/store/folder/folder-store.ts'
import { openPostgresStore } from '../../services/audit/store/postgres/open-postgres-store.ts'
import type { LogStore } from '../../services/audit/store/store.ts'
import { openTestLog, refusal } from '../../services/audit/test-support/open-test-log.ts'
import { until } from '../support/platform.ts'
import { startPostgres } from '../support/postgres.ts'
import { startCuttingProxy } from './support/cutting-proxy.ts'

// An append of which nobody knows whether it is stored, and that the store may still do later: the head must not be told before that is settled.
let home: string
let log: OpenLog | undefined
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'audit-unknown-'))))
afterEach(async () => {
  await log?.close()
  log = undefined
  await rm(home, { recursive: true, force: true })
})

/** Notes each head that the store tells. */
function watched(store: LogStore, heads: number[], onAsked: () => void = () => undefined): LogStore {
  return {
    ...store,
    async head() {
      onAsked()
      const head = await store.head()
      heads.push(head.size)
      return head
    },
  }
}

async function story(of: OpenLog): Promise<string[]> {
  const told: string[] = []
  for await (const entry of of.store.entries(0, of.size)) {
    const record = entry === undefined ? undefined : decodeRecord(entry)
    told.push(record?.type === 'request.refused' ? record.instance : (record?.type ?? 'none'))
  }
  return told
}

test('a folder whose disk hangs: the head is told only behind the append that hung, which counts once it is done', async () => {
  const heads: number[] = []
  let asked = 0
  const folder = join(home, 'audit')
  const opened = await openTestLog(home, {
    openStore: async () => watched(await openFolderStore({ folder, lockWaitMs: 0, timeoutMs: 300, onTrouble: () => undefined }), heads, () => (asked += 1)),
    appendTimeoutMs: 400,
    checkpointMs: 3_600_000,
  })
  log = opened
  await opened.append([refusal('before')])
  const { size } = opened
  heads.length = 0
  // The thread that commits hangs in SQLite as on a disk, and goes on when this is over.
  const inTheWay = new DatabaseSync(join(folder, 'log.sqlite'))
  inTheWay.exec('BEGIN IMMEDIATE')
  try {
    await expect(opened.append([refusal('hung')])).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    const before = asked
    await until(() => asked >= before + 2, 'the head to be asked for again and again')
    expect(heads).toEqual([])
  } finally {
    inTheWay.exec('ROLLBACK')
    inTheWay.close()
  }
  await until(() => opened.writable, 'the log to be written again')
  expect(heads[0]).toBe(size + 1)
  await opened.append([refusal('after')])
  expect(await story(opened)).toEqual(['log.opened', 'before', 'hung', 'log.gap', 'after'])
}, 60_000)

test('PostgreSQL, cut off from an append that waits for a lock: what it comes to is known before the log goes on', async () => {
  const server = await startPostgres()
  const proxy = await startCuttingProxy(server.port)
  const database = await server.createDatabase()
  const direct = server.settingsOf(database)
  const settings = { ...direct, address: { ...direct.address, port: proxy.port } }
  const heads: number[] = []
  const inTheWay = new Client({ host: server.folder, port: server.port, user: 'postgres', database, ssl: false })
  const appends = async (): Promise<{ pid: number; client_port: number }[]> =>
    (await server.query('postgres', `SELECT pid, client_port FROM pg_stat_activity WHERE datname = '${database}' AND state = 'active' AND wait_event_type = 'Lock' AND query LIKE 'WITH moved%'`)) as never
  try {
    const opened = await openTestLog(home, {
      openStore: async () => watched(await openPostgresStore({ settings, wait: false, timing: { answerMs: 10_000 } }), heads),
      appendTimeoutMs: 1000,
      checkpointMs: 3_600_000,
    })
    log = opened
    await opened.append([refusal('before')])
    const { size } = opened
    heads.length = 0
    await inTheWay.connect()
    await inTheWay.query('BEGIN')
    await inTheWay.query('SELECT FROM intramuros_audit.head FOR UPDATE')
    const appending = opened.append([refusal('orphan')]).then(() => 'recorded', (thrown: unknown) => thrown)
    await until(async () => (await appends()).length === 1, 'the append to wait')
    const [orphan] = await appends()
    proxy.cutClientOf(orphan?.client_port ?? 0)
    expect(await appending).toMatchObject({ code: 'UNAVAILABLE' })
    // Its client is gone, and it waits all the same.
    expect(await appends()).toHaveLength(1)
    expect(heads).toEqual([])
    await inTheWay.query('COMMIT')
    await until(() => opened.writable, 'the log to be written again', 30_000)
    await until(async () => (await appends()).length === 0, 'the append to be over')
    await opened.append([refusal('after')])
    const told = await story(opened)
    // The first head that was told is the one that stood.
    expect(told.slice(0, 2)).toEqual(['log.opened', 'before'])
    expect(told.slice(2)).toEqual(heads[0] === size + 1 ? ['orphan', 'log.gap', 'after'] : ['log.gap', 'after'])
    expect(Number((await server.query(database, 'SELECT size FROM intramuros_audit.head'))[0]?.['size'])).toBe(told.length)
  } finally {
    await inTheWay.end()
    await log?.close()
    log = undefined
    proxy.close()
    await server.remove()
  }
}, 90_000)
