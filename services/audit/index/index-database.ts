import { prunedClasses, type PrunedClass } from '../records/record.ts'
import { decodeBundle } from '../tlog/bundle.ts'
import { prunedTo } from './carried.ts'
import { createEventReader, type EventPage, type EventQuery } from './events.ts'
import { type Applied, createIngest, timesEvery } from './ingest.ts'
import { lowerBound } from './lower-bound.ts'
import { createNames } from './names.ts'
import { createPruner, type Due, type DueRows } from './prune.ts'
import type { ClassRange } from './range-usage.ts'
import { createRequestReader, type RequestPage, type RequestQuery, type RequestRow } from './query.ts'
import { createRequestFinder } from './request-ids.ts'
import { openDatabase } from './schema.ts'
import { readState } from './state.ts'
import { createUsageReader, type UsageQuery, type UsageRow } from './usage-reader.ts'
import type { TeamUsage } from './usage-fold.ts'

export interface Progress {
  /** Entries that are taken in. */
  size: number
  /** Leaf hash of the last of them, as hex; empty when there is none or it was pruned. */
  lastLeaf: string
}

/** Where requests and the directory stand after so many entries of the log. */
export interface Standing {
  size: number
  open: RequestRow[]
  /** Requests that have ended, of the last that began. */
  ended: RequestRow[]
  /** The record of the last change of the directory; undefined when there is none. */
  directoryChange: Uint8Array | undefined
}

/** Of `Standing.ended`. */
const mostEnded = 4096

/** Everything that the index can be asked, each with one argument and one answer, so that it can be asked over a thread's port. */
export interface IndexOperations {
  progress(nothing: undefined): Progress
  /** Takes in `count` entries from `first` on, as a bundle (tlog/bundle.ts). Throws RangeError unless `first` is where it stands. */
  apply(batch: { first: number; count: number; bundle: Uint8Array }): Applied
  find(requestId: string): RequestRow | undefined
  open(nothing: undefined): RequestRow[]
  /** What a ledger goes on from, all of one moment. */
  standing(nothing: undefined): Standing
  requests(query: RequestQuery): RequestPage
  events(query: EventQuery): EventPage
  /** Log indexes that surround all entries of a time: `from` up to, not with, `to`; up to 255 others at both ends. Milliseconds since 1970. */
  range(period: { fromMs?: number; toMs?: number }): { from: number; to: number }
  usage(query: UsageQuery): { rows: UsageRow[]; fromMs: number }
  /** What teams used from a month on, at this size. */
  usageByTeam(fromMonth: string): { size: number; rows: TeamUsage[] }
  /** See prune.ts, also of the next two. */
  prunedTo(of: PrunedClass): number
  due(range: ClassRange): Due
  forget(rows: DueRows): void
}

export interface IndexDatabase extends IndexOperations {
  close(): void
}

/** The index in a file, or a new one in it. Blocks while it works: log-index.ts has it in a thread. */
export function openIndexDatabase(file: string): IndexDatabase {
  const database = openDatabase(file)
  const names = createNames(database)
  const state = readState(database)
  const apply = createIngest(database, names, state)
  const requests = createRequestReader(database, names, state)
  const find = createRequestFinder(database)
  const events = createEventReader(database, names, state)
  const usage = createUsageReader(database, names)
  const pruner = createPruner(database, names, state)
  const byTime = lowerBound(database, 'times', 'log_index', 'at_ms')
  // What the log says is pruned it carries.
  const isWhole = (): boolean => state.prunedTo <= Math.max(...prunedClasses.map((one) => prunedTo(state, one)))
  return {
    progress: () => ({ size: state.size, lastLeaf: state.lastLeaf }),
    apply: ({ first, count, bundle }) => apply(first, decodeBundle(bundle, count)),
    find(requestId) {
      const n = find(requestId)
      return n === undefined ? undefined : requests.at(n)
    },
    open: () => requests.open(),
    standing: () => ({
      size: state.size,
      open: requests.open(),
      ended: requests.page({ where: {}, order: 'newest', limit: mostEnded }).rows.filter(({ end }) => end !== undefined),
      directoryChange: events({ type: 'directory.changed', order: 'newest', limit: 1 }).rows[0]?.record,
    }),
    requests: requests.page,
    events,
    range({ fromMs, toMs }) {
      // Each row has the time of the first of its entries. The last row before a time may have entries of that time and later, too.
      const from = fromMs === undefined ? 0 : Math.max(0, slotOf(byTime(fromMs, state.size) - 1))
      const to = toMs === undefined ? state.size : Math.min(state.size, slotOf(byTime(toMs, state.size) + timesEvery - 1))
      return { from: Math.min(from, to), to }
    },
    usage: (query) => ({ rows: usage.rows(query), fromMs: isWhole() ? 0 : state.usageFromMs }),
    usageByTeam: (fromMonth) => ({ size: state.size, rows: usage.byTeam(fromMonth) }),
    prunedTo: pruner.prunedTo,
    due: pruner.due,
    forget: pruner.forget,
    close: () => database.close(),
  }
}

function slotOf(index: number): number {
  return Math.floor(index / timesEvery) * timesEvery
}
