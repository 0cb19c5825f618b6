import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type IndexDatabase, openIndexDatabase } from '../index/index-database.ts'
import type { LogIndex } from '../index/log-index.ts'
import { addUsage, noUsage, usageFields, type UsageSums } from '../index/usage-fold.ts'
import { classOf, decodeRecord, type Entry, type LogRecord, prunedClasses } from '../records/record.ts'
import { createRequests } from '../requests.ts'
import { appendTo } from '../test-support/append-to.ts'
import { beginOf, endOf, refusedOf, timeOf } from '../test-support/example-records.ts'
import { createMemoryStore } from '../test-support/memory-store.ts'
import { encodeBundle } from '../tlog/bundle.ts'
import { cutOff, type Retention } from './plan.ts'
import { pruneLog } from './prune-log.ts'

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'intramuros-prune-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const dayMs = 86_400_000
const baseMs = Date.parse(timeOf(0))

class Crash extends Error {}

/** Where a run ends: not at all, before its record is written, behind that, after so many entries are gone, or with a record that is thought to be lost. */
type End = { kind: 'done' | 'not_recorded' | 'recorded' | 'late' } | { kind: 'dropped'; entries: number }

let serial = 0
const openIndex = (): IndexDatabase => openIndexDatabase(join(folder, `${serial++}.db`))

/** A log in memory with an index of it, whose runs of the pruner may be ended anywhere. */
function createPrunedLog(span: number) {
  const store = createMemoryStore()
  const writer = appendTo(store)
  /** All that was ever appended. */
  const written: LogRecord[] = []
  let late: Entry[] = []
  let ms = 0
  let index: IndexDatabase = openIndex()

  async function append(entries: readonly Entry[]): Promise<number> {
    const waiting = late
    late = []
    for (const group of [waiting, entries]) {
      if (group.length === 0) continue
      await writer.append(timeOf(ms), ...group)
      written.push(...group.map((entry) => ({ v: 1 as const, at: timeOf(ms), clock: 'ok' as const, ...entry })))
    }
    return written.length - entries.length
  }

  async function takeIn(batch = 7): Promise<void> {
    for (let { size } = index.progress(undefined); size < written.length; size += batch) {
      const entries = await Array.fromAsync(store.entries(size, Math.min(written.length, size + batch)))
      index.apply({ first: size, count: entries.length, bundle: encodeBundle(entries) })
    }
  }

  const asked: Pick<LogIndex, 'ask' | 'reached'> = {
    ask: (operation, ...[argument]) => Promise.resolve((index[operation] as (of: unknown) => never)(argument)),
    reached: () => takeIn(),
  }

  return {
    append,
    written,
    later: (more: number) => void (ms += more),
    async rebuild(batch: number) {
      index.close()
      index = openIndex()
      await takeIn(batch)
    },
    /** Each entry that is still there, by its place. */
    async kept(): Promise<Map<number, LogRecord>> {
      const found = new Map<number, LogRecord>()
      let at = 0
      for await (const entry of store.entries(0, written.length)) {
        const record = entry === undefined ? undefined : decodeRecord(entry)
        if (record !== undefined) found.set(at, record)
        at += 1
      }
      return found
    },
    usage() {
      const { rows, fromMs } = index.usage({ fromDay: 0, toDay: 100_000, by: ['month', 'team', 'key', 'subject', 'model'] })
      return { fromMs, rows: new Map(rows.map((row) => [[row.month, row.team, row.key, row.subject, row.model].join(' '), Object.fromEntries(usageFields.map((field) => [field, row[field]]))])) }
    },
    async prune(retention: Retention, end: End = { kind: 'done' }): Promise<boolean> {
      let left = end.kind === 'dropped' ? end.entries : Infinity
      try {
        await pruneLog({
          log: {
            get size() {
              return written.length
            },
            append(entries) {
              if (end.kind === 'late') late = [...entries]
              if (end.kind === 'late' || end.kind === 'not_recorded') throw new Crash()
              return append(entries)
            },
          },
          store: {
            entries: store.entries.bind(store),
            async prune(indexes) {
              if (end.kind === 'recorded') throw new Crash()
              const going = [...indexes].toSorted((a, b) => a - b)
              await store.prune(going.slice(0, left))
              if (going.length > left) throw new Crash()
              left -= going.length
            },
          },
          index: asked,
          retention,
          clock: () => baseMs + ms,
          signal: new AbortController().signal,
          onPruned: () => undefined,
          span,
        })
        return true
      } catch (thrown) {
        if (thrown instanceof Crash || (thrown instanceof Error && thrown.message.includes('another step'))) return false
        throw thrown
      }
    },
    now: () => baseMs + ms,
    close: () => index.close(),
  }
}

/** Usage by month and person, from all records, the plain way. */
function usageOf(records: readonly LogRecord[]): Map<string, UsageSums> {
  const found = new Map<string, UsageSums>()
  const begins = new Map<string, LogRecord & { type: 'request.begin' }>()
  const add = (place: readonly string[], more: Partial<UsageSums>): void => {
    const sums = found.get(place.join(' ')) ?? noUsage()
    addUsage(sums, more)
    found.set(place.join(' '), sums)
  }
  for (const record of records) {
    if (record.type === 'request.begin') begins.set(record.requestId, record)
    else if (record.type === 'request.end') {
      const begin = begins.get(record.requestId)
      const { inputTokens, cachedTokens, outputTokens, workerUs } = record
      add([record.at.slice(0, 7), record.team, begin?.keyId ?? '', begin?.subject ?? '', begin?.model ?? ''], { requests: 1, inputTokens, cachedTokens, outputTokens, workerUs })
    } else if (record.type === 'request.refused') add([record.at.slice(0, 7), record.team, record.keyId, '', ''], { refused: record.count })
    else if (record.type === 'request.unrecorded') {
      const { inputTokens, outputTokens } = record
      add([record.beganAt.slice(0, 7), record.team, record.keyId, '', record.model], { requests: 1, inputTokens, outputTokens })
    }
  }
  return found
}

function openOf(records: Iterable<[number, LogRecord]>): string[] {
  const requests = createRequests()
  for (const [index, record] of records) requests.replay(index, record)
  return [...requests.open.keys()].toSorted()
}

/** What may be there still of what is old: begins of requests that had not ended by then, the newest change of the directory. */
function mayStay(of: (typeof prunedClasses)[number], cut: number, written: readonly LogRecord[]): Set<number> {
  const stay = new Set<number>()
  const before = written.flatMap((record, index) => (Date.parse(record.at) < cut && classOf(record.type) === of ? [{ record, index }] : []))
  const ended = new Set(before.flatMap(({ record }) => (record.type === 'request.end' ? [record.requestId] : [])))
  for (const { record, index } of before) if (record.type === 'request.begin' && !ended.has(record.requestId)) stay.add(index)
  const change = before.findLast(({ record }) => record.type === 'directory.changed')
  if (change !== undefined) stay.add(change.index)
  return stay
}

const name = (values: string[]) => fc.constantFrom(...values)
const days = fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 200 }))
const step = fc.record({
  kind: fc.constantFrom('begin', 'begin', 'begin', 'end', 'end', 'end', 'refused', 'read', 'unrecorded', 'directory', 'opened', 'prune', 'prune', 'prune', 'rebuild'),
  team: name(['hr', 'law']),
  keyId: name(['key_1', 'key_2']),
  subject: name(['', 'ada']),
  model: name(['small', 'large']),
  which: fc.nat(1000),
  laterDays: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 25 })),
  retention: fc.record({ requestsDays: days, securityDays: days, administrationDays: days }),
  end: fc.oneof(fc.record({ kind: fc.constantFrom('done' as const, 'not_recorded' as const, 'recorded' as const, 'late' as const) }), fc.record({ kind: fc.constant('dropped' as const), entries: fc.nat(12) })),
})

test('whatever was recorded, pruned, interrupted and made anew: usage is the same, what is open stays, what is old goes, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 70 }), fc.integer({ min: 1, max: 40 }), async (steps, span) => {
      const log = createPrunedLog(span)
      try {
        for (const { kind, team, keyId, subject, model, which, laterDays, retention, end } of steps) {
          log.later(laterDays * dayMs + 1)
          const open = openOf(log.written.entries())
          if (kind === 'begin') await log.append([beginOf(`r${log.written.length}`, { team, keyId, subject, model })])
          else if (kind === 'end' && open.length > 0) {
            const requestId = open[which % open.length] ?? ''
            const begin = log.written.find((record) => record.type === 'request.begin' && record.requestId === requestId)
            await log.append([endOf(requestId, { outputTokens: which, team: begin?.type === 'request.begin' ? begin.team : '' })])
          } else if (kind === 'refused') await log.append([refusedOf({ team, keyId, count: which })])
          else if (kind === 'read') await log.append([{ type: 'log.read', by: 'cli:ada', auth: 'certificate', operation: 'query', team, from: '', to: '' }])
          else if (kind === 'unrecorded') {
            const beganAt = new Date(log.now() - 3 * dayMs).toISOString()
            await log.append([{ type: 'request.unrecorded', requestId: `u${log.written.length}`, instance: 'gateway', team, keyId, model, endpoint: 'POST /v1/x', beganAt, outcome: 'completed', inputTokens: 3, outputTokens: which }])
          } else if (kind === 'directory') await log.append([{ type: 'directory.changed', id: log.written.length + 1, changedAt: timeOf(0), event: 'team.changed', team, keyId: '', settings: [] }])
          else if (kind === 'opened') await log.append([{ type: 'log.opened', instance: 'audit', version: '1', clean: true }])
          else if (kind === 'rebuild') await log.rebuild(1 + which)
          else if (kind === 'prune') {
            const before = await log.kept()
            const done = await log.prune(retention, end)
            const after = await log.kept()
            for (const of of prunedClasses) {
              const cut = cutOff(retention, of, log.now())
              const stay = mayStay(of, cut, log.written)
              for (const [index, record] of after) if (done && classOf(record.type) === of && Date.parse(record.at) < cut) expect(stay.has(index)).toBe(true)
            }
            // An announced step of before is ended by whichever run is next, whatever its times are.
            for (const [index, record] of before) if (!after.has(index)) expect(log.written.some((one) => one.type === 'log.pruned' && one.class === classOf(record.type) && index < one.to)).toBe(true)
            const changes = log.written.flatMap((record, index) => (record.type === 'directory.changed' ? [index] : []))
            if (changes.length > 0) expect([...after.keys()]).toContain(changes.at(-1))
          }
          expect(openOf(await log.kept())).toEqual(openOf(log.written.entries()))
        }
        const expected = new Map([...usageOf(log.written)].filter(([, sums]) => usageFields.some((field) => sums[field] > 0)))
        const found = async () => {
          const { rows, fromMs } = log.usage()
          expect(fromMs).toBe(0)
          return new Map([...rows].filter(([, sums]) => Object.values(sums).some((sum) => sum > 0)))
        }
        // The first may meet one that was thought to be lost.
        await log.prune({ requestsDays: 30, securityDays: 30, administrationDays: 30 })
        expect(await log.prune({ requestsDays: 30, securityDays: 30, administrationDays: 30 })).toBe(true)
        expect(await found()).toEqual(expected)
        await log.rebuild(1000)
        expect(await found()).toEqual(expected)
        await log.rebuild(1)
        expect(await found()).toEqual(expected)
      } finally {
        log.close()
      }
    }),
    { numRuns: Number(process.env['PRUNE_RUNS'] ?? 40) },
  )
}, 120_000)

const everyDay = { requestsDays: 1, securityDays: 1, administrationDays: 1 }

test('a step that was thought to be lost counts; the one behind it does not, and nothing goes by it', async () => {
  const log = createPrunedLog(1000)
  try {
    for (let day = 0; day < 10; day += 1) {
      await log.append([beginOf(`r${day}`), endOf(`r${day}`)])
      log.later(dayMs)
    }
    log.later(1)
    expect(await log.prune({ ...everyDay, requestsDays: 5 }, { kind: 'late' })).toBe(false)
    expect(await log.prune(everyDay)).toBe(false)
    expect(log.written.flatMap((one) => (one.type === 'log.pruned' ? [[one.from, one.to, one.entries]] : []))).toEqual([[0, 12, 12], [0, 20, 20]])
    expect((await log.kept()).has(0)).toBe(true)
    expect(await log.prune(everyDay)).toBe(true)
    expect(log.written.findLast((one) => one.type === 'log.pruned')).toMatchObject({ from: 12, to: 20, entries: 8 })
    expect([...(await log.kept()).values()].every(({ type }) => type === 'log.pruned' || type === 'usage.carried')).toBe(true)
    await log.rebuild(1000)
    expect(log.usage().rows).toEqual(usageOf(log.written))
  } finally {
    log.close()
  }
})

test('of many people it carries a part at a time', async () => {
  const log = createPrunedLog(100_000)
  try {
    const people = Array.from({ length: 5000 }, (_, n) => n)
    await log.append(people.flatMap((n) => [beginOf(`r${n}`, { subject: `person-${n}` }), endOf(`r${n}`)]))
    log.later(2 * dayMs)
    expect(await log.prune(everyDay)).toBe(true)
    const steps = log.written.flatMap((one) => (one.type === 'log.pruned' ? [[one.from, one.to]] : []))
    expect(steps).toEqual([[0, 5000], [5000, 10_000]])
    await log.rebuild(1000)
    expect(log.usage().rows).toEqual(usageOf(log.written))
  } finally {
    log.close()
  }
})

test('it stops where it is told to, and goes on from there', async () => {
  const log = createPrunedLog(100)
  try {
    await log.append(Array.from({ length: 300 }, () => refusedOf()))
    log.later(2 * dayMs)
    expect(await log.prune(everyDay, { kind: 'dropped', entries: 150 })).toBe(false)
    expect((await log.kept()).size - log.written.length).toBe(-150)
    expect(await log.prune({ requestsDays: 3650, securityDays: 3650, administrationDays: 3650 })).toBe(true)
    // What was recorded goes, although times are longer now.
    expect(log.written.length - (await log.kept()).size).toBe(200)
  } finally {
    log.close()
  }
})
