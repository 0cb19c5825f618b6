import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeRecord } from '../records/record.ts'
import { appendTo } from '../test-support/append-to.ts'
import { beginOf, endOf, timeOf } from '../test-support/example-records.ts'
import { createMemoryStore, type MemoryStore } from '../test-support/memory-store.ts'
import { type LogIndex, openLogIndex } from './log-index.ts'
import type { TeamUsage } from './usage-fold.ts'

let folder: string
let file: string
let warnings: string[]
const opened: LogIndex[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-log-index-'))
  file = join(folder, 'index.db')
  warnings = []
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map((index) => index.close()))
  rmSync(folder, { recursive: true })
})

function open(store: MemoryStore): LogIndex {
  const silent = (): void => undefined
  const log = { debug: silent, info: silent, warn: (...[, message]: [object | string, string?]) => void warnings.push(message ?? ''), error: silent }
  const index = openLogIndex({ file, store, log, batchEntries: 100, retryMs: 10 })
  opened.push(index)
  return index
}

async function close(index: LogIndex): Promise<void> {
  await index.close()
  opened.splice(opened.indexOf(index), 1)
}

const limit = (): AbortSignal => AbortSignal.timeout(20_000)
const ids = async (index: LogIndex): Promise<string[]> => (await index.ask('requests', { where: {}, order: 'oldest', limit: 1000 })).rows.map(({ requestId }) => requestId)

async function logOf(requests: number, store = createMemoryStore()) {
  const log = appendTo(store)
  for (let n = 0; n < requests; n += 1) await log.append(timeOf(n), beginOf(`r${n}`), endOf(`r${n}`))
  return { store, log }
}

test('it takes in what is there, then what is committed, told or not', async () => {
  const { store, log } = await logOf(300)
  const index = open(store)
  await index.reached(600, limit())
  expect((await ids(index)).length).toBe(300)
  const heard: { used: readonly TeamUsage[]; size: number }[] = []
  index.onUsage((used, size) => heard.push({ used, size }))
  const begin = beginOf('told')
  await log.append(timeOf(1000), begin)
  index.committed(600, [encodeRecord({ v: 1, at: timeOf(1000), clock: 'ok', ...begin })])
  await index.reached(601, limit())
  expect(await index.ask('find', 'told')).toMatchObject({ beginIndex: 600 })
  await log.append(timeOf(1001), endOf('told'), beginOf('untold'))
  await index.reached(603, limit())
  expect((await index.ask('open')).map(({ requestId }) => requestId)).toEqual(['untold'])
  expect(heard).toEqual([
    { used: [], size: 601 },
    { used: [expect.objectContaining({ month: '2026-11', team: 'default', requests: 1, outputTokens: 20 })], size: 603 },
  ])
})

test('it goes on where it was, and is made anew when it is gone, damaged or of another log', async () => {
  const { store, log } = await logOf(50)
  let index = open(store)
  await index.reached(100, limit())
  await close(index)
  await log.append(timeOf(1000), beginOf('later'))
  index = open(store)
  await index.reached(101, limit())
  expect((await ids(index)).length).toBe(51)
  await close(index)
  expect(warnings).toEqual([])

  rmSync(file)
  index = open(store)
  await index.reached(101, limit())
  expect((await ids(index)).length).toBe(51)
  await close(index)

  writeFileSync(file, 'this is no database, and long enough to be seen as none of its kind '.repeat(100))
  index = open(store)
  await index.reached(101, limit())
  expect((await ids(index)).length).toBe(51)
  await close(index)
  expect(warnings).toEqual([])

  const shorter = await logOf(5)
  index = open(shorter.store)
  await index.reached(10, limit())
  expect((await ids(index)).length).toBe(5)
  await close(index)
  expect(warnings).toEqual(['the index is of another audit log, and is made anew'])

  const other = createMemoryStore()
  const otherLog = appendTo(other)
  for (let n = 0; n < 20; n += 1) await otherLog.append(timeOf(n), beginOf(`other${n}`))
  index = open(other)
  await index.reached(20, limit())
  expect((await ids(index)).every((id) => id.startsWith('other'))).toBe(true)
  expect(warnings.length).toBe(2)
})

test('a store that fails is asked again', async () => {
  const { store } = await logOf(10)
  let failures = 2
  const entries = store.entries.bind(store)
  store.entries = (from, to) => {
    failures -= 1
    if (failures >= 0) throw new Error('the disk is away')
    return entries(from, to)
  }
  const index = open(store)
  await index.reached(20, limit())
  expect(failures).toBeLessThan(0)
  // Said once, not each time.
  expect(warnings.length).toBe(1)
  expect(existsSync(file)).toBe(true)
})

test('what is not there yet can be waited for, and nothing fails meanwhile', async () => {
  const { store, log } = await logOf(1)
  const index = open(store)
  await index.reached(2, limit())
  const waiting = index.reached(3, limit())
  expect((await ids(index)).length).toBe(1)
  const begin = beginOf('later')
  await log.append(timeOf(10), begin)
  index.committed(2, [encodeRecord({ v: 1, at: timeOf(10), clock: 'ok', ...begin })])
  await waiting
  expect((await ids(index)).length).toBe(2)
  expect(warnings).toEqual([])
})

test('waiting can be given up, and ends with it', async () => {
  const { store } = await logOf(1)
  const index = open(store)
  await index.reached(2, limit())
  const given = new AbortController()
  const waiting = index.reached(3, given.signal)
  given.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  expect(warnings).toEqual([])
  await close(index)
  await expect(index.ask('find', 'x')).rejects.toMatchObject({ reason: 'index_unavailable' })
})
