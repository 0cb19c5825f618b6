import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { goOnFromIndex } from './go-on-from-index.ts'
import { openIndexDatabase } from './index/index-database.ts'
import { openLogIndex } from './index/log-index.ts'
import { decodeRecord, encodeRecord, type Entry } from './records/record.ts'
import { createRequests, type Requests } from './requests.ts'
import { appendTo } from './test-support/append-to.ts'
import { beginOf, endOf, refusedOf, timeOf } from './test-support/example-records.ts'
import { createMemoryStore } from './test-support/memory-store.ts'
import { encodeBundle } from './tlog/bundle.ts'

const quiet = (): void => undefined
const silent = { debug: quiet, info: quiet, warn: quiet, error: quiet }
let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'intramuros-go-on-'))))
afterEach(() => rmSync(folder, { recursive: true }))

function entryOf(step: { kind: 'begin' | 'end' | 'change' | 'other'; request: number }, id: number): Entry {
  const requestId = `r${step.request}`
  switch (step.kind) {
    case 'begin':
      return beginOf(`${requestId}-${id}`, { instance: `gateway-${step.request % 3}` })
    case 'end':
      return endOf(requestId)
    case 'change':
      return { type: 'directory.changed', id: id + 1, changedAt: timeOf(id), event: 'team.created', team: 'law', keyId: '', settings: [] }
    case 'other':
      return refusedOf()
  }
}

/** What the ledger goes by, as something that can be compared. */
function known(requests: Requests, ids: readonly string[]) {
  return { open: [...requests.open], directoryChange: requests.directoryChange, found: ids.map((id) => requests.find(id)) }
}

const steps = fc.array(fc.record({ kind: fc.constantFrom('begin' as const, 'begin' as const, 'end' as const, 'end' as const, 'change' as const, 'other' as const), request: fc.nat(1000) }), { maxLength: 120 })

test('wherever the index stands, it and the records behind it tell what all records tell', () => {
  let run = 0
  fc.assert(
    fc.property(steps, fc.double({ min: 0, max: 1, noNaN: true }), (all, share) => {
      const open: string[] = []
      const ids: string[] = []
      const entries = all.map((step, id) => {
        const entry = entryOf(step, id)
        if (entry.type === 'request.begin') for (const list of [ids, open]) list.push(entry.requestId)
        // An end is one of a request that is open, if any is.
        if (entry.type !== 'request.end' || open.length === 0) return entry
        return endOf(open.splice(step.request % open.length, 1)[0] ?? '')
      })
      const bytes = entries.map((entry, ms) => encodeRecord({ v: 1, at: timeOf(ms), clock: 'ok', ...entry }))
      const at = Math.floor(share * bytes.length)
      const index = openIndexDatabase(join(folder, `${(run += 1)}.db`))
      try {
        if (at > 0) index.apply({ first: 0, count: at, bundle: encodeBundle(bytes.slice(0, at)) })
        const [whole, resumed] = [createRequests(), createRequests()]
        resumed.goOnFrom(index.standing(undefined))
        for (const [place, one] of bytes.entries()) {
          const record = decodeRecord(one) ?? expect.fail('a record that is none')
          whole.replay(place, record)
          if (place >= at) resumed.replay(place, record)
        }
        expect(known(resumed, ids)).toEqual(known(whole, ids))
      } finally {
        index.close()
      }
    }),
    { numRuns: 60 },
  )
})

test('an index that follows the log is asked; one that can not be opened means that all is read', async () => {
  const store = createMemoryStore()
  const log = appendTo(store)
  await log.append(timeOf(0), beginOf('a'), beginOf('b'), endOf('a'))
  const index = openLogIndex({ file: join(folder, 'index.db'), store, log: silent })
  try {
    await index.reached(3, AbortSignal.timeout(20_000))
    const requests = createRequests()
    expect(await goOnFromIndex({ index, size: 3, requests, log: silent })).toBe(3)
    expect([...requests.open.keys()]).toEqual(['b'])
    await expect(goOnFromIndex({ index, size: 2, requests: createRequests(), log: silent })).rejects.toThrow('is made anew')
  } finally {
    await index.close()
  }
  const unusable = openLogIndex({ file: join(folder, 'no/such/folder/index.db'), store, log: silent, retryMs: 10 })
  try {
    const requests = createRequests()
    expect(await goOnFromIndex({ index: unusable, size: 3, requests, log: silent })).toBe(0)
    expect(requests.open.size).toBe(0)
  } finally {
    await unusable.close()
  }
})
