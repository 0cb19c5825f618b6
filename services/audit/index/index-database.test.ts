import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeRecord, type Entry } from '../records/record.ts'
import { encodeBundle } from '../tlog/bundle.ts'
import { beginOf, endOf, refusedOf, timeOf } from '../test-support/example-records.ts'
import { type IndexDatabase, openIndexDatabase } from './index-database.ts'
import type { RequestQuery, RequestRow } from './query.ts'

let folder: string
let index: IndexDatabase
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-index-'))
  index = openIndexDatabase(join(folder, 'index.db'))
})
afterEach(() => {
  index.close()
  rmSync(folder, { recursive: true })
})

type Timed = Entry & { ms: number }

function take(entries: readonly (Timed | undefined)[], first = index.progress(undefined).size) {
  const bytes = entries.map((entry) => {
    if (entry === undefined) return undefined
    const { ms, ...record } = entry
    return encodeRecord({ v: 1, at: timeOf(ms), clock: 'ok', ...record })
  })
  return index.apply({ first, count: bytes.length, bundle: encodeBundle(bytes) })
}

function reopen(): void {
  index.close()
  index = openIndexDatabase(join(folder, 'index.db'))
}

/** All pages, one after the other. */
function all(query: Omit<RequestQuery, 'limit'>, limit: number): RequestRow[] {
  const rows: RequestRow[] = []
  let after = query.after
  for (;;) {
    const page = index.requests({ ...query, limit, ...(after !== undefined && { after }) })
    expect(page.rows.length).toBeLessThanOrEqual(limit)
    rows.push(...page.rows)
    if (page.next === undefined) return rows
    expect(page.rows.length).toBe(limit)
    after = page.next
  }
}

const name = (values: string[]) => fc.constantFrom(...values)
const step = fc.record({
  kind: fc.constantFrom('begin', 'begin', 'end', 'end', 'refused', 'reopen', 'batch'),
  team: name(['hr', 'law', 'lab']),
  keyId: name(['key_1', 'key_2']),
  subject: name(['', 'ada', 'eve']),
  model: name(['small', 'large']),
  outcome: fc.constantFrom('completed', 'cancelled', 'failed', 'interrupted'),
  which: fc.nat(),
  later: fc.nat(2_000_000_000),
})
const query = fc.record(
  {
    team: name(['hr', 'law', 'nobody']),
    keyId: name(['key_1', 'key_2']),
    subject: name(['ada', 'eve']),
    model: name(['small', 'large']),
    outcome: fc.constantFrom('completed', 'cancelled', 'open'),
    fromMs: fc.nat(60_000_000_000),
    toMs: fc.nat(60_000_000_000),
    order: fc.constantFrom('newest', 'oldest'),
    limit: fc.integer({ min: 1, max: 7 }),
  },
  { requiredKeys: ['order', 'limit'] },
)

test('rows, pages and sums are those of the records, however they were batched and whenever it was opened', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.array(query, { minLength: 3, maxLength: 6 }), (steps, queries) => {
      index.close()
      rmSync(join(folder, 'index.db'), { force: true })
      index = openIndexDatabase(join(folder, 'index.db'))
      const expected: (Partial<Record<string, unknown>> & { beginIndex: number; ms: number })[] = []
      let waiting: Timed[] = []
      let ms = 0
      let log = 0
      let refused = 0
      const record = (entry: Entry): number => {
        waiting.push({ ...entry, ms })
        return log++
      }
      for (const { kind, which, later, team, keyId, subject, model, outcome } of steps) {
        ms += later
        const open = expected.filter((one) => one['outcome'] === 'open')
        const ending = open[which % Math.max(1, open.length)]
        if (kind === 'begin') {
          const requestId = `request-${log}`
          expected.push({ beginIndex: record(beginOf(requestId, { team, keyId, subject, model })), requestId, team, keyId, subject, model, outcome: 'open', ms })
        } else if (kind === 'end' && ending !== undefined) {
          Object.assign(ending, { endIndex: record(endOf(String(ending['requestId']), { team: String(ending['team']), outcome, outputTokens: which % 100 })), outcome, outputTokens: which % 100 })
        } else if (kind === 'refused') {
          record(refusedOf({ team, keyId, count: 3 }))
          refused += 3
        } else if (kind === 'reopen') reopen()
        else {
          take(waiting)
          waiting = []
        }
      }
      take(waiting)
      const base = Date.parse(timeOf(0))
      for (const { order, limit, fromMs, toMs, ...where } of queries) {
        const period = { ...(fromMs !== undefined && { fromMs: base + fromMs }), ...(toMs !== undefined && { toMs: base + toMs }) }
        const found = all({ where, order, ...period }, limit)
        const matching = expected.filter((one) => Object.entries(where).every(([key, value]) => one[key] === value) && one.ms >= (fromMs ?? 0) && one.ms < (toMs ?? Infinity))
        expect(found.map(({ beginIndex }) => beginIndex)).toEqual((order === 'oldest' ? matching : matching.toReversed()).map(({ beginIndex }) => beginIndex))
      }
      for (const one of expected) {
        const row = index.find(String(one['requestId']))
        expect(row).toMatchObject({ beginIndex: one.beginIndex, team: one['team'], keyId: one['keyId'], subject: one['subject'], model: one['model'], beganMs: base + one.ms })
        expect(row?.end?.index).toBe(one['endIndex'])
        expect(row?.end?.outputTokens).toBe(one['outputTokens'])
      }
      expect(index.find('never')).toBeUndefined()
      expect(index.open(undefined).map(({ requestId }) => requestId)).toEqual(expected.filter((one) => one['outcome'] === 'open').map((one) => one['requestId']))
      const used = index.usage({ fromDay: 0, toDay: 100_000, by: ['team', 'model'] }).rows
      for (const team of ['hr', 'law', 'lab']) {
        for (const model of ['small', 'large']) {
          const ended = expected.filter((one) => one['team'] === team && one['model'] === model && one['outcome'] !== 'open')
          const row = used.find((one) => one.team === team && one.model === model)
          expect(row?.requests ?? 0).toBe(ended.length)
          expect(row?.outputTokens ?? 0).toBe(ended.reduce((sum, one) => sum + Number(one['outputTokens']), 0))
        }
      }
      expect(used.reduce((sum, row) => sum + row.refused, 0)).toBe(refused)
      expect(index.events({ type: 'request.refused', order: 'oldest', limit: 1000 }).rows.length).toBe(refused / 3)
    }),
    { numRuns: 60 },
  )
})

test('blocks: many requests, one of them special', () => {
  const entries: Timed[] = []
  for (let n = 0; n < 9000; n += 1) entries.push({ ...beginOf(`r${n}`, { team: n === 4095 ? 'rare' : 'hr', subject: `person-${n % 3000}` }), ms: n })
  take(entries)
  take(Array.from({ length: 9000 }, (_, n) => ({ ...endOf(`r${n}`, { outcome: n % 2 === 0 ? 'completed' : 'failed' }), ms: 9000 + n })))
  expect(all({ where: { team: 'rare' }, order: 'newest' }, 10).map(({ requestId }) => requestId)).toEqual(['r4095'])
  expect(all({ where: { subject: 'person-7' }, order: 'oldest' }, 2).map(({ requestId }) => requestId)).toEqual(['r7', 'r3007', 'r6007'])
  expect(all({ where: { subject: 'person-7', outcome: 'failed' }, order: 'newest' }, 5).map(({ requestId }) => requestId)).toEqual(['r6007', 'r3007', 'r7'].filter((id) => Number(id.slice(1)) % 2 === 1))
  expect(all({ where: { team: 'hr', outcome: 'failed' }, order: 'newest' }, 1000).length).toBe(4499)
  expect(index.open(undefined)).toEqual([])
})

test('what is pruned goes from rows, usage stays', () => {
  const entries: Timed[] = []
  for (let n = 0; n < 5000; n += 1) entries.push({ ...beginOf(`r${n}`), ms: n }, { ...endOf(`r${n}`), ms: n })
  entries.push({ ...beginOf('open'), ms: 5000 }, { ...refusedOf(), ms: 5000 }, { ...beginOf('last'), ms: 6000 }, { ...endOf('last'), ms: 7000 })
  take(entries)
  const before = index.usage({ fromDay: 0, toDay: 100_000, by: ['month', 'team'] })
  expect(before.rows).toEqual([
    { month: '2026-11', team: '', requests: 0, refused: 1, inputTokens: 0, cachedTokens: 0, outputTokens: 0, workerUs: 0 },
    { month: '2026-11', team: 'default', requests: 5001, refused: 0, inputTokens: 50_010, cachedTokens: 20_004, outputTokens: 100_020, workerUs: 20_004_000 },
  ])
  const old = index.due({ class: 'requests', from: 0, to: 10_003 })
  // The open one and the one that ends later stay.
  expect(old.indexes).toEqual(Array.from({ length: 10_000 }, (_, at) => at))
  expect(old.usage).toEqual([{ month: '2026-11', team: 'default', keyId: 'key_1', subject: '', model: 'small', requests: 5000, refused: 0, inputTokens: 50_000, cachedTokens: 20_000, outputTokens: 100_000, workerUs: 20_000_000 }])
  expect(index.due({ class: 'requests', from: 10_000, to: 10_003 }).usage).toEqual([])
  expect(index.due({ class: 'requests', from: 0, to: 10 }).indexes.length).toBe(10)
  const refused = index.due({ class: 'security', from: 0, to: 10_003 })
  expect(refused.indexes).toEqual([10_001])
  expect(refused.usage).toMatchObject([{ team: '', refused: 1, requests: 0 }])
  index.forget(old.rows)
  index.forget(refused.rows)
  reopen()
  expect(all({ where: {}, order: 'oldest' }, 10).map(({ requestId }) => requestId)).toEqual(['open', 'last'])
  expect(all({ where: { team: 'default' }, order: 'newest' }, 10).map(({ requestId }) => requestId)).toEqual(['last', 'open'])
  expect(index.find('r3')).toBeUndefined()
  expect(index.events({ order: 'newest', limit: 10 }).rows).toEqual([])
  expect(index.usage({ fromDay: 0, toDay: 100_000, by: ['month', 'team'] })).toEqual(before)
  take([{ ...endOf('open'), ms: 8000 }])
  expect(index.find('open')?.end?.index).toBe(10_004)
})

test('an index that is made from a pruned log says from when on usage is whole', () => {
  take([undefined, undefined, { ...refusedOf(), ms: 5 }, { ...endOf('gone'), ms: 6 }])
  expect(index.usage({ fromDay: 0, toDay: 100_000, by: ['team'] })).toMatchObject({ fromMs: Date.parse(timeOf(5)), rows: [{ team: '' }] })
  // Whose begin is gone the log carries, and is next to go.
  expect(index.due({ class: 'requests', from: 0, to: 4 }).indexes).toEqual([3])
  expect(index.requests({ where: {}, order: 'newest', limit: 5 }).rows).toEqual([])
})

test('entries come in their order, each once', () => {
  take([{ ...refusedOf(), ms: 5 }])
  expect(() => take([{ ...refusedOf(), ms: 5 }], 0)).toThrow(RangeError)
  expect(() => take([{ ...refusedOf(), ms: 5 }], 2)).toThrow(RangeError)
})

test('the range of a time surrounds its entries', () => {
  take(Array.from({ length: 2000 }, (_, n) => ({ ...refusedOf(), ms: n * 10 })))
  const base = Date.parse(timeOf(0))
  fc.assert(
    fc.property(fc.nat(25_000), fc.nat(25_000), (a, b) => {
      const [fromMs, toMs] = [Math.min(a, b), Math.max(a, b)]
      const { from, to } = index.range({ fromMs: base + fromMs, toMs: base + toMs })
      const inside = Array.from({ length: 2000 }, (_, n) => n).filter((n) => n * 10 >= fromMs && n * 10 < toMs)
      for (const n of inside) expect(n >= from && n < to).toBe(true)
      expect(to - from).toBeLessThanOrEqual(inside.length + 600)
    }),
  )
  expect(index.range({})).toEqual({ from: 0, to: 2000 })
})
