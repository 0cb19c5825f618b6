import type { ExportPart, ExportRequest } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { neededTiles } from '../archive/needed-tiles.ts'
import type { LogIndex } from '../index/log-index.ts'
import { fullWidth, tilePath } from '../tlog/tile-path.ts'
import { periodOf } from './query.ts'
import { chunksOf, newestCheckpoint, type ReadableStore, recordFilter } from './read-store.ts'

/**
 * Records and what proves them: the checkpoint, the records of a time and a team that are in its tree, and the tiles that lead from them
 * to its root.
 */
export async function* exportParts(
  { store, index, vkey }: { store: ReadableStore; index: LogIndex; vkey: string },
  request: ExportRequest,
  signal: AbortSignal,
): AsyncGenerator<ExportPart, void, undefined> {
  const { note, size } = await newestCheckpoint(store)
  const period = periodOf(request)
  await index.reached(size, signal)
  const range = await index.ask('range', period)
  const [from, to] = [Math.min(range.from, size), Math.min(range.to, size)]
  yield { part: { $case: 'head', value: { checkpoint: note, vkey, fromIndex: BigInt(from), toIndex: BigInt(to) } } }
  const used = new Set<number>()
  for await (const { kept } of chunksOf(store, from, to, recordFilter({ team: request.team, ...period }))) {
    signal.throwIfAborted()
    if (kept.length === 0) continue
    for (const entry of kept) used.add(Math.floor(entry.index / fullWidth))
    const records = kept.map((entry) => ({ index: BigInt(entry.index), record: Buffer.from(entry.record) }))
    yield { part: { $case: 'records', value: { records } } }
  }
  // Of the whole log all of them, though all entries of one may be gone: then it is a log that any tool for tlog-tiles can check.
  const whole = from === 0 && to === size && request.team === '' && period.fromMs === undefined && period.toMs === undefined
  const tiles = whole ? Array.from({ length: Math.ceil(size / fullWidth) }, (_, tile) => tile) : used
  for (const place of neededTiles(tiles, size)) {
    signal.throwIfAborted()
    const content = await store.tile(place.level, place.index, place.width)
    if (content === undefined) throw new Error(`the store has no ${tilePath(place)}`)
    yield { part: { $case: 'tile', value: { path: tilePath(place), content: Buffer.from(content) } } }
  }
}
