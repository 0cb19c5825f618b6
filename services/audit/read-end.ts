import { decodeRecord, type LogRecord } from './records/record.ts'
import type { LogStore } from './store/store.ts'
import { type Edge, edgeRoot, restoreEdge } from './tlog/edge.ts'
import { fullWidth, partialTiles, tilePath } from './tlog/tile-path.ts'

/** Where a log stands. */
export interface LogEnd {
  edge: Edge
  /** The last record; undefined in an empty log, or when it was pruned with all before it that were looked at. */
  last: LogRecord | undefined
}

/** The store has another tree than its head says. */
export class LogBrokenError extends Error {
  override readonly name = 'LogBrokenError'
}

/** Entries that are looked at for the last one that was not pruned. */
const lookBack = 65_536

/** Reads it, and checks that the tiles at the end are those of the head. Throws LogBrokenError, StoreError. */
export async function readEnd(store: LogStore): Promise<LogEnd> {
  const { size, root } = await store.head()
  const tiles: Uint8Array[] = []
  for (const { level, index, width } of partialTiles(size)) {
    const tile = await store.tile(level, index, width)
    if (tile === undefined) throw new LogBrokenError(`${tilePath({ level, index, width })} is missing.`)
    tiles.push(tile)
  }
  const edge = restoreEdge(size, tiles)
  if (!edgeRoot(edge).equals(root)) throw new LogBrokenError(`The tiles at its end are not those of the ${size} records that it says it has.`)
  for (let to = size; to > Math.max(0, size - lookBack); to -= fullWidth) {
    let last: LogRecord | undefined
    let at = Math.max(0, to - fullWidth)
    for await (const entry of store.entries(at, to)) {
      if (entry !== undefined) last = decodeRecord(entry)
      if (entry !== undefined && last === undefined) throw new LogBrokenError(`Entry ${at} is no record of this version.`)
      at += 1
    }
    if (last !== undefined) return { edge, last }
  }
  return { edge, last: undefined }
}
