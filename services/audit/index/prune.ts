import type { DatabaseSync } from 'node:sqlite'
import { classOf, type PrunedClass, type RecordType } from '../records/record.ts'
import { lowerBound } from './lower-bound.ts'
import type { Names } from './names.ts'
import { blockSize } from './posting.ts'
import { type ClassRange, createRangeUsage } from './range-usage.ts'
import { requestGeneration, requestHash } from './request-ids.ts'
import { prunedTo } from './carried.ts'
import type { State } from './state.ts'
import type { CarriedUsage } from './usage-fold.ts'

/** What may go, and how the index calls it. */
export interface Due {
  /** Log indexes, ascending. */
  indexes: number[]
  /** What those from `from` on were counted as in usage. */
  usage: CarriedUsage[]
  rows: DueRows
}

/** For `forget`. */
export interface DueRows {
  /** Numbers of requests. */
  requests: number[]
  /** Log indexes of other records. */
  others: number[]
}

export interface Pruner {
  /** Behind the last record of a class that the log says is pruned; 0: it says so of none. */
  prunedTo(of: PrunedClass): number
  /**
   * What of a class stands before `to` and can go: a request's begin and end together, once both stand there, so that an open one stays; of
   * changes of the directory all but the newest, by which the ledger knows how far it has them. The index's own rows are there until
   * `forget`, so the same question gives the same answer until then.
   */
  due(range: ClassRange): Due
  /** Drops the rows of entries that are gone from the log, and their bytes; usage stays. Those that are not there are passed over. */
  forget(rows: DueRows): void
}

export function createPruner(database: DatabaseSync, names: Names, state: State): Pruner {
  const requests = database.prepare('SELECT n, begin_index, end_index FROM requests WHERE n < ? AND end_index < ? ORDER BY n')
  const orphans = database.prepare('SELECT log_index FROM orphan_ends WHERE log_index < ?')
  const types = database.prepare('SELECT DISTINCT type FROM events')
  const events = database.prepare('SELECT log_index FROM events WHERE type = ? AND log_index < ? ORDER BY log_index')
  const forgetEvent = database.prepare('DELETE FROM events WHERE log_index = ?')
  const forgetOrphan = database.prepare('DELETE FROM orphan_ends WHERE log_index = ?')
  const forgetRequest = database.prepare('DELETE FROM requests WHERE n = ? RETURNING request_id')
  const forgetId = database.prepare('DELETE FROM request_ids WHERE generation = ? AND hash = ? AND n = ?')
  const oldest = database.prepare('SELECT min(n) AS n FROM requests')
  const forgetPostings = database.prepare('DELETE FROM postings WHERE block < ?')
  const byIndex = lowerBound(database, 'requests', 'n', 'begin_index')
  const usageOf = createRangeUsage(database, names, state)

  function eventsDue(wanted: PrunedClass, to: number): number[] {
    return types.all().flatMap((row) => {
      const name = names.textOf(Number(row['type']))
      if (classOf(name as RecordType) !== wanted) return []
      const found = events.all(Number(row['type']), to).map((event) => Number(event['log_index']))
      return name === 'directory.changed' ? found.slice(0, -1) : found
    })
  }

  /** Of blocks that no request is left of. */
  function dropPostings(): void {
    const left = oldest.get()?.['n'] ?? null
    forgetPostings.run(Math.floor((left === null ? state.requests : Number(left)) / blockSize))
  }

  return {
    prunedTo: (of) => prunedTo(state, of),
    due(range) {
      const others = eventsDue(range.class, range.to)
      const indexes = [...others]
      const rows: DueRows = { requests: [], others }
      if (range.class === 'requests') {
        for (const row of requests.iterate(byIndex(range.to, state.requests), range.to)) {
          rows.requests.push(Number(row['n']))
          indexes.push(Number(row['begin_index']), Number(row['end_index']))
        }
        for (const row of orphans.all(range.to)) {
          rows.others.push(Number(row['log_index']))
          indexes.push(Number(row['log_index']))
        }
      }
      return { indexes: indexes.toSorted((a, b) => a - b), usage: range.from < range.to ? usageOf(range) : [], rows }
    },
    forget(rows) {
      database.exec('BEGIN')
      for (const index of rows.others) if (forgetEvent.run(index).changes === 0) forgetOrphan.run(index)
      for (const n of rows.requests) {
        const row = forgetRequest.get(n)
        if (row !== undefined) forgetId.run(requestGeneration(n), requestHash(String(row['request_id'])), n)
      }
      if (rows.requests.length > 0) dropPostings()
      database.exec('COMMIT')
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    },
  }
}
