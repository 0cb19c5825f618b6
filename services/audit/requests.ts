import type { Standing } from './index/index-database.ts'
import { decodeRecord, type LogRecord } from './records/record.ts'

/** A request that has begun and not ended. */
export interface OpenRequest {
  instance: string
  team: string
  /** Place of its begin record; undefined while that is being made durable. */
  begin: number | undefined
  /** Set while its begin record is being made durable. */
  beginning?: Promise<number>
  /** Set while its end record is. */
  ending?: Promise<number>
}

/** Where a request's records are in the log. */
export interface FoundRequest {
  team: string
  begin: number
  /** Undefined while it runs. */
  end?: number
}

/** What the ledger keeps in memory: the open requests, the last ones that ended, and the last change of the directory. */
export interface Requests {
  readonly open: Map<string, OpenRequest>
  /** Id of the last change of the directory that the log holds; 0: it holds none. */
  directoryChange: number
  /** Undefined when the request never began, or ended so many ends ago that it is forgotten. */
  find(requestId: string): FoundRequest | undefined
  /** An open request's end record is durable. */
  ended(requestId: string, end: number): void
  /** Begins with where the index says that things stand; the records behind its size are to be replayed. Once, before all else. */
  goOnFrom(standing: Standing): void
  /** Takes in a record that is in the log already, in their order. */
  replay(index: number, record: LogRecord): void
}

/**
 * At least this many last ends are remembered, some 100 bytes each: half a minute at 1,000 requests a second, and calls are repeated
 * within seconds.
 */
const minRemembered = 32_768

export function createRequests(): Requests {
  const open = new Map<string, OpenRequest>()
  // Two generations, since dropping the oldest of one Map at a time gets slow.
  let recent = new Map<string, FoundRequest>()
  let older = new Map<string, FoundRequest>()

  function ended(requestId: string, end: number): void {
    const request = open.get(requestId)
    if (request?.begin === undefined) return
    open.delete(requestId)
    recent.set(requestId, { team: request.team, begin: request.begin, end })
    if (recent.size < minRemembered) return
    older = recent
    recent = new Map()
  }

  const requests: Requests = {
    open,
    directoryChange: 0,
    find(requestId) {
      const running = open.get(requestId)
      if (running === undefined) return recent.get(requestId) ?? older.get(requestId)
      return running.begin === undefined ? undefined : { team: running.team, begin: running.begin }
    },
    ended,
    goOnFrom({ open: stillOpen, ended: last, directoryChange }) {
      for (const { requestId, instance, team, beginIndex } of stillOpen) open.set(requestId, { instance, team, begin: beginIndex })
      for (const { requestId, team, beginIndex, end } of last) if (end !== undefined) recent.set(requestId, { team, begin: beginIndex, end: end.index })
      const record = directoryChange === undefined ? undefined : decodeRecord(directoryChange)
      if (record?.type === 'directory.changed') requests.directoryChange = record.id
    },
    replay(index, record) {
      if (record.type === 'request.begin') open.set(record.requestId, { instance: record.instance, team: record.team, begin: index })
      else if (record.type === 'request.end') ended(record.requestId, index)
      else if (record.type === 'directory.changed') requests.directoryChange = Math.max(requests.directoryChange, record.id)
    },
  }
  return requests
}
