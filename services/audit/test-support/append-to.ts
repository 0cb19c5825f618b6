import { encodeRecord, type Entry } from '../records/record.ts'
import type { LogStore } from '../store/store.ts'
import { type Edge, edgeRoot, emptyEdge, extendEdge } from '../tlog/edge.ts'
import { leafHashes } from '../tlog/merkle.ts'

export interface TestLog {
  /** Appends records as one batch, stamped with the time; resolves with the first's index. */
  append(at: string, ...entries: Entry[]): Promise<number>
  readonly size: number
  readonly root: Buffer
}

/** Writes to an empty store as the sequencer does, without its groups, clock and signer. */
export function appendTo(store: LogStore): TestLog {
  let edge: Edge = emptyEdge
  return {
    async append(at, ...records) {
      const entries = records.map((entry) => encodeRecord({ v: 1, at, clock: 'ok', ...entry }))
      const from = { size: edge.size, root: edgeRoot(edge) }
      const next = extendEdge(edge, leafHashes(entries))
      await store.append({ from, to: { size: next.edge.size, root: edgeRoot(next.edge) }, entries, tiles: next.full })
      edge = next.edge
      return from.size
    },
    get size() {
      return edge.size
    },
    get root() {
      return edgeRoot(edge)
    },
  }
}
