import type { LoggedRecords, TailRequest } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import type { LogIndex } from '../index/log-index.ts'
import { placeOf } from './query.ts'
import { chunksOf, type ReadableStore, recordFilter } from './read-store.ts'
import { invalid } from './reads.ts'

const mostLast = 100_000

/** Records in the order of the log; with `follow` it ends only when the signal aborts. */
export async function* tailRecords({ store, index }: { store: ReadableStore; index: LogIndex }, request: TailRequest, signal: AbortSignal): AsyncGenerator<LoggedRecords, void, undefined> {
  if (request.last > mostLast) throw invalid(`at most the last ${mostLast} records are told; say from which index on for more`)
  const keep = recordFilter({ team: request.team })
  let { size } = await store.head()
  let next = request.fromIndex === undefined ? Math.max(0, size - request.last) : placeOf(request.fromIndex)
  for (;;) {
    if (next < size) {
      for await (const { kept, reached } of chunksOf(store, next, size, keep)) {
        signal.throwIfAborted()
        if (kept.length > 0) yield { records: kept.map((entry) => ({ index: BigInt(entry.index), record: Buffer.from(entry.record) })) }
        next = reached
      }
    }
    if (!request.follow) return
    // The index is told of what is committed, and so knows when there is more.
    await index.reached(Math.max(next, size) + 1, signal)
    size = (await store.head()).size
  }
}
