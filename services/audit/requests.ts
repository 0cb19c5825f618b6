import type { LogRecord } from './log/record.ts'

/** A request that has begun and not ended. */
export interface OpenRequest {
  instance: string
  /** Set while its begin record is being made durable. */
  beginning?: Promise<number>
  /** Set while its end record is. */
  ending?: Promise<number>
}

/** What the ledger keeps in memory: the open requests, and the end records of the last ones that ended. */
export interface Requests {
  readonly open: Map<string, OpenRequest>
  /** Place of the end record; undefined when the request never ended, or so many ends ago that it is forgotten. */
  endOf(requestId: string): number | undefined
  ended(requestId: string, index: number): void
  /** Takes in a record that is in the log already, in their order. */
  replay(record: LogRecord): void
}

/**
 * At least this many last ends are remembered, some 100 bytes each: half a minute at 1,000 requests a second, and calls are repeated
 * within seconds.
 */
const minRemembered = 32_768

export function createRequests(): Requests {
  const open = new Map<string, OpenRequest>()
  // Two generations, since dropping the oldest of one Map at a time gets slow.
  let recent = new Map<string, number>()
  let older = new Map<string, number>()

  function ended(requestId: string, index: number): void {
    open.delete(requestId)
    recent.set(requestId, index)
    if (recent.size < minRemembered) return
    older = recent
    recent = new Map()
  }

  return {
    open,
    endOf: (requestId) => recent.get(requestId) ?? older.get(requestId),
    ended,
    replay(record) {
      if (record.type === 'begin') open.set(record.requestId, { instance: record.instance })
      else ended(record.requestId, record.seq)
    },
  }
}
