import type { DatabaseSync } from 'node:sqlite'
import { classOf, type RecordClass, type RecordType } from '../records/record.ts'
import { lowerBound } from './lower-bound.ts'
import type { Names } from './names.ts'
import { blockSize } from './posting.ts'
import { requestGeneration, requestHash } from './request-ids.ts'
import type { State } from './state.ts'

export interface PrunableQuery {
  class: RecordClass
  /** Recorded before this, milliseconds since 1970. */
  beforeMs: number
  /** Most log indexes, about. */
  limit: number
}

export interface Pruner {
  /**
   * Log indexes of what may go, ascending. A request's begin and end go together, once both are old enough: an open one stays. The index's
   * own rows are there until `forget`, so the same question gives the same answer until then.
   */
  prunable(query: PrunableQuery): number[]
  /** Drops the rows of entries that are gone from the log; usage stays. Indexes without a row are passed over. */
  forget(indexes: readonly number[]): void
}

export function createPruner(database: DatabaseSync, names: Names, state: State): Pruner {
  const requests = database.prepare('SELECT begin_index, end_index FROM requests WHERE n < ? AND end_index IS NOT NULL AND ended_ms < ? ORDER BY n LIMIT ?')
  const types = database.prepare('SELECT DISTINCT type FROM events')
  const events = database.prepare('SELECT log_index FROM events WHERE type = ? AND at_ms < ? ORDER BY log_index LIMIT ?')
  const forgetEvent = database.prepare('DELETE FROM events WHERE log_index = ?')
  const requestAt = database.prepare('SELECT n, begin_index, request_id FROM requests WHERE n >= ? ORDER BY n LIMIT 1')
  const forgetRequest = database.prepare('DELETE FROM requests WHERE n = ?')
  const forgetId = database.prepare('DELETE FROM request_ids WHERE generation = ? AND hash = ? AND n = ?')
  const oldest = database.prepare('SELECT min(n) AS n FROM requests')
  const forgetPostings = database.prepare('DELETE FROM postings WHERE block < ?')
  const byTime = lowerBound(database, 'requests', 'n', 'began_ms')
  const byIndex = lowerBound(database, 'requests', 'n', 'begin_index')

  /** A request is found by its begin; the index of its end finds none, as that went with it. */
  function forgetRequestAt(index: number): boolean {
    const row = requestAt.get(byIndex(index, state.requests))
    if (row === undefined || Number(row['begin_index']) !== index) return false
    const n = Number(row['n'])
    forgetRequest.run(n)
    forgetId.run(requestGeneration(n), requestHash(String(row['request_id'])), n)
    return true
  }

  /** Of blocks that no request is left of. */
  function dropPostings(): void {
    const left = oldest.get()?.['n'] ?? null
    forgetPostings.run(Math.floor((left === null ? state.requests : Number(left)) / blockSize))
  }

  return {
    prunable({ class: wanted, beforeMs, limit }) {
      const indexes: number[] = []
      if (wanted === 'requests') {
        const rows = requests.iterate(byTime(beforeMs, state.requests), beforeMs, Math.ceil(limit / 2))
        for (const row of rows) indexes.push(Number(row['begin_index']), Number(row['end_index']))
      }
      for (const row of types.all()) {
        const type = Number(row['type'])
        if (classOf(names.textOf(type) as RecordType) !== wanted) continue
        for (const event of events.iterate(type, beforeMs, limit)) indexes.push(Number(event['log_index']))
      }
      return indexes.toSorted((a, b) => a - b)
    },
    forget(indexes) {
      database.exec('BEGIN')
      let requestsGone = false
      for (const index of indexes) {
        if (forgetEvent.run(index).changes === 0 && forgetRequestAt(index)) requestsGone = true
      }
      if (requestsGone) dropPostings()
      database.exec('COMMIT')
    },
  }
}
