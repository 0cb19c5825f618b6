import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { filesWith } from '../../../test/support/files-with.ts'
import { type PostgresServer, startPostgres } from '../../../test/support/postgres.ts'
import { type LogIndex, openLogIndex } from '../index/log-index.ts'
import type { OpenLog } from '../open-log.ts'
import { createReceipts } from '../receipts.ts'
import { decodeRecord, type LogRecord } from '../records/record.ts'
import { createRequests } from '../requests.ts'
import { openFolderStore } from '../store/folder/folder-store.ts'
import { openPostgresStore } from '../store/postgres/open-postgres-store.ts'
import type { LogStore } from '../store/store.ts'
import { beginOf, endOf, refusedOf } from '../test-support/example-records.ts'
import { openTestLog } from '../test-support/open-test-log.ts'
import { leafHashes } from '../tlog/merkle.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../tlog/edge.ts'
import { verifyFolder } from '../verify/verify-folder.ts'
import { verifyReceipt } from '../verify-receipt.ts'
import { pruneLog } from './prune-log.ts'

const dayMs = 86_400_000
const retention = { requestsDays: 100, securityDays: 200, administrationDays: 300 }
const silent = (): void => undefined
const quiet = { debug: silent, info: silent, warn: silent, error: silent }

let home: string
let now: number
const closing: (() => Promise<void>)[] = []
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'audit-retention-'))
  now = Date.UTC(2026, 0, 20)
})
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
  await rm(home, { recursive: true })
})

interface Opened {
  log: OpenLog
  index: LogIndex
  open: string[]
  close(): Promise<void>
}

async function open(openStore: () => Promise<LogStore>): Promise<Opened> {
  const requests = createRequests()
  const log = await openTestLog(home, { openStore, clock: () => now, onRecord: requests.replay, checkpointMs: 20 })
  const index = openLogIndex({ file: join(home, 'index.db'), store: log.store, log: quiet })
  log.onCommitted(index.committed)
  const close = async (): Promise<void> => {
    if (!closing.includes(close)) return
    closing.splice(closing.indexOf(close), 1)
    await index.close()
    await log.close()
  }
  closing.push(close)
  return { log, index, open: [...requests.open.keys()], close }
}

/** 1500 requests, ten at a time, five hours from one to the next ten: 31 days. One stays open, one ends only a hundred days later. */
async function fill({ log }: Opened): Promise<void> {
  await log.append([beginOf('stays-open'), beginOf('ends-late'), { type: 'directory.changed', id: 7, changedAt: '2026-01-20T00:00:00.000Z', event: 'team.created', team: 'hr', keyId: '', settings: [] }])
  for (let group = 0; group < 150; group += 1) {
    const names = Array.from({ length: 10 }, (_, n) => `canary-${group}-${n}`)
    const whose = { team: group % 2 === 0 ? 'hr' : 'law', subject: `person-${group % 5}` }
    await log.append(names.map((id) => beginOf(id, whose)))
    await log.append([...names.map((id) => endOf(id, { team: whose.team })), refusedOf({ source: `client-${group}`, team: whose.team })])
    now += 5 * 3_600_000
  }
  now += 100 * dayMs
  await log.append([endOf('ends-late'), beginOf('new'), endOf('new')])
}

async function prune({ log, index }: Opened, prune = (indexes: Iterable<number>) => log.store.prune(indexes)): Promise<number> {
  let gone = 0
  const signal = AbortSignal.timeout(60_000)
  await pruneLog({ log, store: { entries: log.store.entries.bind(log.store), prune }, index, retention, clock: () => now, signal, onPruned: (_, entries) => void (gone += entries), span: 1000 })
  return gone
}

async function usage({ log, index }: Opened) {
  await index.reached(log.size, AbortSignal.timeout(30_000))
  return await index.ask('usage', { fromDay: 0, toDay: 100_000, by: ['month', 'team', 'model', 'key', 'subject'] })
}

async function records({ log }: Opened): Promise<(LogRecord | undefined)[]> {
  const entries = await Array.fromAsync(log.store.entries(0, log.size))
  return entries.map((entry) => (entry === undefined ? undefined : decodeRecord(entry)))
}

/** The tree of what is there, and of the hashes of what is not, is the one that the head says. */
async function checkTree({ log }: Opened): Promise<void> {
  const { size, root } = await log.store.head()
  let edge = emptyEdge
  for (let tile = 0; tile * 256 < size; tile += 1) {
    const width = Math.min(256, size - tile * 256)
    const hashes = Buffer.from((await log.store.tile(0, tile, width)) ?? Buffer.alloc(0))
    const entries = await Array.fromAsync(log.store.entries(tile * 256, tile * 256 + width))
    for (const [at, entry] of entries.entries()) if (entry !== undefined) expect(leafHashes([entry]).equals(hashes.subarray(at * 32, (at + 1) * 32))).toBe(true)
    edge = extendEdge(edge, hashes).edge
  }
  expect(edgeRoot(edge).equals(Buffer.from(root))).toBe(true)
}

const oldOnes = ['canary-']

function suite(openStore: () => Promise<LogStore>, check: (opened: Opened) => Promise<void>): void {
  test('old records go, with their bytes, in each part of the log; what is left proves the same tree, counts the same use and opens again', async () => {
    let opened = await open(openStore)
    await fill(opened)
    const before = await usage(opened)
    const receiptOf = (id: string, of = opened): Promise<string> =>
      createReceipts({
        findRequest: async (requestId) => {
          const row = await of.index.ask('find', requestId)
          return row && { team: row.team, begin: row.beginIndex, ...(row.end && { end: row.end.index }) }
        },
        store: of.log.store,
        checkpointOf: (size) => of.log.checkpointOf(size),
      }).receiptOf(id, id === 'new' || id === 'ends-late' ? 'default' : 'hr')
    const receipt = await receiptOf('canary-0-0')

    expect(await prune(opened)).toBe(3000)
    await checkTree(opened)
    expect(await usage(opened)).toEqual(before)
    expect((await records(opened)).filter((record) => record?.type === 'log.pruned').reduce((sum, record) => sum + (record?.type === 'log.pruned' ? record.entries : 0), 0)).toBe(3000)
    expect(await filesWith(home, oldOnes)).toEqual([])
    await expect(receiptOf('canary-0-0')).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'receipt_not_found' })
    // One that somebody has still proves what was logged.
    expect(verifyReceipt(receipt, opened.log.signer.vkey)).toMatchObject({ ok: true, record: { requestId: 'canary-0-0' } })
    for (const id of ['new', 'ends-late']) expect(verifyReceipt(await receiptOf(id), opened.log.signer.vkey)).toMatchObject({ ok: true, record: { requestId: id } })
    await check(opened)
    const { size } = opened.log
    expect(await prune(opened)).toBe(0)
    expect(opened.log.size).toBe(size)

    await opened.close()
    await rm(join(home, 'index.db'))
    now += 150 * dayMs
    opened = await open(openStore)
    expect(opened.open).toEqual(['stays-open'])
    expect(await usage(opened)).toEqual({ ...before, rows: before.rows })
    // What was refused, and the last requests. The newest change of the directory and the first opening are not old enough.
    expect(await prune(opened)).toBe(150 + 4)
    now += 200 * dayMs
    expect(await prune(opened)).toBe(2)
    const left = (await records(opened)).filter((record) => record !== undefined).map(({ type }) => type)
    expect(left.filter((type) => type !== 'usage.carried' && type !== 'log.pruned')).toEqual(['request.begin', 'directory.changed', 'log.opened'])
    expect(await usage(opened)).toEqual(before)
    await check(opened)
    expect(await filesWith(home, ['"client-0"', 'client-149'])).toEqual([])
  }, 120_000)

  test('interrupted behind each call of the store, it goes on where it was when it is opened again', async () => {
    let opened = await open(openStore)
    await fill(opened)
    const before = await usage(opened)
    for (let crash = 1; ; crash += 1) {
      let calls = 0
      const done = await prune(opened, async (indexes) => {
        calls += 1
        const going = [...indexes]
        await opened.log.store.prune(calls === crash ? going.slice(0, going.length / 3) : going)
        if (calls === crash) throw new Error('crashed')
      }).then(
        () => true,
        () => false,
      )
      await checkTree(opened)
      await opened.close()
      await rm(join(home, 'index.db'), { force: crash % 2 === 0 })
      opened = await open(openStore)
      expect(opened.open).toEqual(['stays-open'])
      expect(await usage(opened)).toEqual(before)
      if (done) break
    }
    expect((await records(opened)).filter((record) => record?.type === 'request.begin' || record?.type === 'request.end').length).toBe(1 + 2 + 2)
    await check(opened)
  }, 120_000)
}

/** What is served and what the writer has are one log, as anybody finds. */
async function checkFolder(opened: Opened): Promise<void> {
  const { vkey } = opened.log.signer
  await opened.log.checkpointOf(opened.log.size)
  const found = await verifyFolder(join(home, 'audit'), { vkey })
  const gone = (await records(opened)).filter((record) => record === undefined).length
  expect(found).toMatchObject({ ok: true, keyChecked: true, records: opened.log.size, signed: opened.log.size, pruned: gone, open: 1 })
}

async function checkRows(server: PostgresServer, database: string): Promise<void> {
  expect(await server.query(database, `SELECT count(*)::int AS old FROM intramuros_audit.entry WHERE position('canary-'::bytea IN data) > 0`)).toEqual([{ old: 0 }])
}

describe('in a folder', () => {
  suite(
    () => openFolderStore({ folder: join(home, 'audit'), lockWaitMs: 0, timeoutMs: 20_000, onTrouble: silent }),
    checkFolder,
  )

  test('can be checked while records go', async () => {
    const opened = await open(() => openFolderStore({ folder: join(home, 'audit'), lockWaitMs: 0, timeoutMs: 20_000, onTrouble: silent }))
    await fill(opened)
    let pruning = true
    const pruned = prune(opened).finally(() => (pruning = false))
    const faults: unknown[] = []
    for (let checks = 0; pruning || checks < 2; checks += 1) {
      const found = await verifyFolder(join(home, 'audit'), { vkey: opened.log.signer.vkey })
      if (!found.ok) faults.push(found)
    }
    expect(await pruned).toBe(3000)
    expect(faults).toEqual([])
  }, 60_000)
})

describe('in PostgreSQL', () => {
  let server: PostgresServer
  let name: string
  beforeAll(async () => void (server = await startPostgres()))
  afterAll(() => server.remove())
  beforeEach(async () => void (name = await server.createDatabase()))
  suite(
    () => openPostgresStore({ settings: server.settingsOf(name), wait: true, signal: AbortSignal.timeout(30_000) }),
    () => checkRows(server, name),
  )
})
