import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { type Dimension, openOutcome, termOf } from './dimensions.ts'
import type { Names } from './names.ts'
import { blockSize, decodePosting, intersect, positionsOf } from './posting.ts'
import { lowerBound } from './lower-bound.ts'
import type { State } from './state.ts'

export type Order = 'newest' | 'oldest'

export interface RequestQuery {
  /** Each must match exactly. `outcome` also takes "open". */
  where: Partial<Record<Dimension, string>>
  /** Requests that began from here on, milliseconds since 1970. */
  fromMs?: number
  /** Not with this. */
  toMs?: number
  order: Order
  /** Most rows. */
  limit: number
  /** What comes behind the row of this begin index, in `order`. */
  after?: number
}

/** A request, its begin and its end joined. */
export interface RequestRow {
  beginIndex: number
  beganMs: number
  requestId: string
  instance: string
  team: string
  keyId: string
  subject: string
  model: string
  endpoint: string
  stream: boolean
  /** Undefined while its end is not recorded. */
  end?: RequestEnd
}

export interface RequestEnd {
  index: number
  atMs: number
  outcome: string
  finishReason: string
  error: string
  inputTokens: number
  cachedTokens: number
  outputTokens: number
  firstTokenUs: number
  durationUs: number
  workerUs: number
  worker: string
}

export interface RequestPage {
  rows: RequestRow[]
  /** `after` of the next page; undefined when this was the last. */
  next?: number
}

export interface RequestReader {
  page(query: RequestQuery): RequestPage
  at(n: number): RequestRow | undefined
  open(): RequestRow[]
}

export function createRequestReader(database: DatabaseSync, names: Names, state: State): RequestReader {
  const byNumber = database.prepare('SELECT * FROM requests WHERE n = ?')
  const forwards = database.prepare('SELECT n FROM requests WHERE n >= ? AND n < ? ORDER BY n')
  const backwards = database.prepare('SELECT n FROM requests WHERE n >= ? AND n < ? ORDER BY n DESC')
  const inBlock = database.prepare('SELECT bits FROM postings WHERE block = ? AND term = ?')
  const openRows = database.prepare('SELECT * FROM requests WHERE end_index IS NULL ORDER BY n')
  const byTime = lowerBound(database, 'requests', 'n', 'began_ms')
  const byIndex = lowerBound(database, 'requests', 'n', 'begin_index')

  function rowOf(row: Record<string, SQLOutputValue>): RequestRow {
    const number = (column: string): number => Number(row[column])
    const name = (column: string): string => names.textOf(number(column))
    const base: RequestRow = {
      beginIndex: number('begin_index'), beganMs: number('began_ms'), requestId: String(row['request_id']), instance: name('instance'), team: name('team'), keyId: name('key_id'),
      subject: name('subject'), model: name('model'), endpoint: name('endpoint'), stream: number('stream') === 1,
    }
    if (row['end_index'] === null) return base
    return {
      ...base,
      end: {
        index: number('end_index'), atMs: number('ended_ms'), outcome: name('outcome'), finishReason: name('finish_reason'), error: name('error'),
        inputTokens: number('input_tokens'), cachedTokens: number('cached_tokens'), outputTokens: number('output_tokens'),
        firstTokenUs: number('first_token_us'), durationUs: number('duration_us'), workerUs: number('worker_us'), worker: name('worker'),
      },
    }
  }

  function at(n: number): RequestRow | undefined {
    const row = byNumber.get(n)
    return row === undefined ? undefined : rowOf(row)
  }

  /** Numbers of the requests from `low` on, not with `high`, that have all terms. */
  function* matching(terms: readonly number[], low: number, high: number, order: Order): Generator<number, void, undefined> {
    if (terms.length === 0) {
      for (const row of (order === 'oldest' ? forwards : backwards).iterate(low, high)) yield Number(row['n'])
      return
    }
    const [first, last] = [Math.floor(low / blockSize), Math.floor((high - 1) / blockSize)]
    for (let step = 0; step <= last - first; step += 1) {
      const block = order === 'oldest' ? first + step : last - step
      const bits = common(terms, block)
      if (bits === undefined) continue
      for (const position of positionsOf(bits, order)) {
        const n = block * blockSize + position
        if (n >= low && n < high) yield n
      }
    }
  }

  /** What all terms have in common in a block; undefined where one of them has nothing. */
  function common(terms: readonly number[], block: number): Uint8Array | undefined {
    const found: Uint8Array[] = []
    for (const term of terms) {
      const bits = inBlock.get(block, term)?.['bits']
      if (!(bits instanceof Uint8Array)) return undefined
      found.push(decodePosting(bits))
    }
    return intersect(found)
  }

  return {
    at,
    open: () => openRows.all().map(rowOf),
    page({ where, fromMs, toMs, order, limit, after }) {
      const terms: number[] = []
      for (const [dimension, text] of Object.entries(where) as [Dimension, string][]) {
        const name = names.find(text)
        if (name === undefined) return { rows: [] }
        terms.push(termOf(dimension, name))
      }
      let low = fromMs === undefined ? 0 : byTime(fromMs, state.requests)
      let high = toMs === undefined ? state.requests : byTime(toMs, state.requests)
      if (after !== undefined) {
        if (order === 'oldest') low = Math.max(low, byIndex(after + 1, state.requests))
        else high = Math.min(high, byIndex(after, state.requests))
      }
      const rows: RequestRow[] = []
      if (low >= high) return { rows }
      for (const n of matching(terms, low, high, order)) {
        const last = rows.at(-1)
        if (rows.length === limit && last !== undefined) return { rows, next: last.beginIndex }
        const row = at(n)
        // Pruned: its block is still searched, as it has others.
        if (row !== undefined) rows.push(row)
      }
      return { rows }
    },
  }
}

export function isOutcome(text: string): boolean {
  return ['completed', 'cancelled', 'failed', 'interrupted', openOutcome].includes(text)
}
