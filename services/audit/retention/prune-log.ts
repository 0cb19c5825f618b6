import type { LogIndex } from '../index/log-index.ts'
import type { Due } from '../index/prune.ts'
import { type Entry, prunedClasses, type PrunedClass } from '../records/record.ts'
import { readRecord } from '../index/read-record.ts'
import type { LogStore } from '../store/store.ts'
import { byBundles, cutOff, type Retention } from './plan.ts'

export interface PruneOptions {
  /** Resolves with the place of the first once all are durable; they stay together. `size`: entries that are committed. */
  log: { append(entries: readonly Entry[]): Promise<number>; readonly size: number }
  store: Pick<LogStore, 'entries' | 'prune'>
  index: Pick<LogIndex, 'ask' | 'reached'>
  retention: Retention
  /** Milliseconds since 1970. */
  clock: () => number
  signal: AbortSignal
  /** Told of entries that are gone. */
  onPruned: (of: PrunedClass, entries: number) => void
  /** Entries of the log that one step looks at; default: 262,144. */
  span?: number
}

/** Some 30 MB of log; a step keeps the index from answering for some tenths of a second. */
const defaultSpan = 262_144
/** Most usage.carried records that are written at once. */
const mostCarried = 4096
/** Most bundles that the store is asked to change at once: reads wait for so many syncs. */
const mostBundles = 16
/** Most rows that the index drops in one transaction. */
const mostRows = 8192

/**
 * Drops what is older than its class is kept. Each step is recorded, with the usage that it takes away, before anything goes; so wherever it
 * is interrupted, the next run knows what is to go, and nothing is counted twice or lost. Throws what the log, the store and the index throw,
 * and the signal's reason.
 */
export async function pruneLog(options: PruneOptions): Promise<void> {
  const { log, index, retention, clock, signal } = options
  await index.reached(log.size, signal)
  for (const of of prunedClasses) await pruneClass(of, cutOff(retention, of, clock()), options)
}

async function pruneClass(of: PrunedClass, beforeMs: number, options: PruneOptions): Promise<void> {
  const { index, span = defaultSpan } = options
  let from = await index.ask('prunedTo', of)
  // What a run before has recorded, and was interrupted in.
  await drop(of, await index.ask('due', { class: of, from, to: from }), options)
  const end = await placeOf(beforeMs, options)
  let width = span
  for (let reached = from; reached < end; ) {
    options.signal.throwIfAborted()
    const to = Math.min(end, reached + width)
    const due = await index.ask('due', { class: of, from, to })
    if (due.usage.length > mostCarried && to - reached > 1) {
      width = Math.ceil((to - reached) / 2)
      continue
    }
    if (due.indexes.length > 0) {
      await announce(of, { from, to, beforeMs }, due, options)
      await drop(of, due, options)
      from = to
    }
    reached = to
    width = span
  }
}

/** Puts down in the log what goes, all of it at once, and waits until the index has taken that in. */
async function announce(of: PrunedClass, { from, to, beforeMs }: { from: number; to: number; beforeMs: number }, due: Due, { log, index, signal }: PruneOptions): Promise<void> {
  const carried = due.usage.map((sums): Entry => ({ type: 'usage.carried', from, to, ...sums }))
  const first = await log.append([{ type: 'log.pruned', class: of, before: new Date(beforeMs).toISOString(), from, to, entries: due.indexes.length }, ...carried])
  await index.reached(first + 1 + carried.length, signal)
  // One of a run before, which was thought to be lost, may stand in front of it, and then counts in its place.
  if ((await index.ask('prunedTo', of)) !== to) throw new Error('the log has recorded another step of pruning meanwhile')
}

async function drop(of: PrunedClass, { indexes, rows }: Due, { store, index, signal, onPruned }: PruneOptions): Promise<void> {
  // A begin goes before its end does: without its end it would be taken for a request that is open.
  for (const part of byBundles(indexes, mostBundles)) {
    signal.throwIfAborted()
    await store.prune(part)
    onPruned(of, part.length)
  }
  for (const part of parts(rows.others)) await index.ask('forget', { requests: [], others: part })
  for (const part of parts(rows.requests)) await index.ask('forget', { requests: part, others: [] })
}

/** Behind the last entry that was recorded before a time. */
async function placeOf(beforeMs: number, { store, index }: PruneOptions): Promise<number> {
  const around = await index.ask('range', { fromMs: beforeMs, toMs: beforeMs })
  let place = around.from
  for await (const entry of store.entries(around.from, around.to)) {
    const record = entry === undefined ? undefined : readRecord(entry)
    if (record !== undefined && record.atMs >= beforeMs) break
    place += 1
  }
  return place
}

function* parts(rows: readonly number[]): Generator<number[], void, undefined> {
  for (let at = 0; at < rows.length; at += mostRows) yield rows.slice(at, at + mostRows)
}
