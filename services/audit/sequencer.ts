import { ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { LogEnd } from './read-end.ts'
import { encodeRecord, type Entry, type EntryOf, recordVersion } from './records/record.ts'
import { HeadMovedError, type LogStore, StoreError, type TreeHead } from './store/store.ts'
import { edgeRoot, extendEdge } from './tlog/edge.ts'
import { leafHashes } from './tlog/merkle.ts'

export interface LogMetrics {
  /** A group became durable. */
  group(group: { entries: readonly Entry[]; seconds: number; size: number; bytes: number }): void
  /** An append was refused. */
  refused(): void
}

export interface SequencerOptions {
  store: LogStore
  /** Of that store. */
  end: LogEnd
  /** Milliseconds since 1970. */
  clock: () => number
  log: Logger
  metrics: LogMetrics
  /** Longest time from an append to its end, in milliseconds. */
  appendTimeoutMs: number
  /** How far the clock may be behind the last record, in milliseconds; what is written then gets that record's time. */
  clockToleranceMs: number
  /** Told of what was committed, in order. */
  onCommitted: (first: number, entries: readonly Uint8Array[]) => void
  /** Called once when the log can't go on in this process, and refuses appends from then on: end it. The next one reads the log and knows. */
  onFailed: (cause: unknown) => void
}

export interface AuditLog {
  /**
   * Resolves with the place of the first entry once all of them are durable. They must be valid (records/record.ts) and stay together.
   * Throws UNAVAILABLE audit_unavailable: then none of them counts, though they may be found in the log.
   */
  append(entries: readonly Entry[]): Promise<number>
  /** False once it has failed for good. */
  readonly usable: boolean
  /** False while it can't be written. */
  readonly writable: boolean
  /** What is committed. */
  head(): TreeHead
  /** Stops for good: somebody else writes the log, or it can't be trusted. */
  fail(what: string, cause: unknown): void
  /** Waits for the appends under way, with `last` behind them, and refuses further ones. */
  close(last: readonly Entry[]): Promise<void>
}

interface Append {
  entries: readonly Entry[]
  /** On the clock of performance.now(). */
  deadline: number
  resolve(index: number): void
  reject(error: ServiceError): void
}

interface Trouble {
  since: string
  reason: EntryOf<'log.gap'>['reason']
  refused: number
}

interface Stamp {
  ms: number
  at: string
  clock: 'ok' | 'held'
}

/** Most records in one commit: 2 MB or so. */
const maxGroupRecords = 4096
/** More than wait in a second; each waits as an object of some hundred bytes. */
const maxWaitingRecords = 131_072
/** How often a log that could not be written is tried again, in milliseconds: from the first to the last. */
const [firstRetryMs, lastRetryMs] = [20, 1000]

/** Appends to a log whose end was read. It is the only one that does. */
export function createSequencer(options: SequencerOptions): AuditLog {
  const { store, clock, log, metrics, appendTimeoutMs, clockToleranceMs, onCommitted, onFailed } = options
  let edge = options.end.edge
  let root = edgeRoot(edge)
  let lastAt = options.end.last === undefined ? 0 : Date.parse(options.end.last.at)
  let waiting: Append[] = []
  let waitingRecords = 0
  let committing: Promise<void> | undefined
  let state: 'open' | 'closed' | 'failed' = 'open'
  let trouble: Trouble | undefined
  /** In trouble, while the log seems fit to be written: what comes now waits for whether it is. */
  let probing = false
  let timer: NodeJS.Timeout | undefined
  /** Appends of the group that is being committed and not answered. */
  let under: Append[] = []
  let stopWaiting: (() => void) | undefined

  function append(entries: readonly Entry[]): Promise<number> {
    if (state !== 'open') return Promise.reject(unavailable())
    if ((trouble !== undefined && !probing) || waitingRecords + entries.length > maxWaitingRecords) return Promise.reject(refusal())
    return enqueue(entries)
  }

  function enqueue(entries: readonly Entry[]): Promise<number> {
    return new Promise((resolve, reject) => {
      waiting.push({ entries, deadline: performance.now() + appendTimeoutMs, resolve, reject })
      waitingRecords += entries.length
      timer ??= setTimeout(expire, appendTimeoutMs)
      committing ??= commitGroups()
    })
  }

  /** Refuses what has waited too long, whether its commit is under way or not. Appends are in the order of their deadlines. */
  function expire(): void {
    timer = undefined
    const now = performance.now()
    const late = (one: Append): boolean => one.deadline <= now
    const refused = [...under.filter(late), ...waiting.filter(late)]
    if (refused.length > 0) {
      under = under.filter((one) => !late(one))
      waiting = waiting.filter((one) => !late(one))
      enterTrouble('slow', undefined)
      refuse(refused)
    }
    const next = under[0] ?? waiting[0]
    if (next !== undefined) timer = setTimeout(expire, Math.max(1, next.deadline - now))
  }

  /** While a group is committed, the next one collects. */
  async function commitGroups(): Promise<void> {
    // What arrived in the same turn of the event loop, a frame of a lane for example, shares the first group.
    await new Promise((resolve) => setImmediate(resolve))
    try {
      while (state !== 'failed' && (waiting.length > 0 || trouble !== undefined)) {
        if (trouble === undefined) await commit(takeGroup())
        else await resume(trouble)
      }
    } catch (thrown) {
      fail('the audit log failed in a way that nobody expected', thrown)
    }
    committing = undefined
  }

  /** Appends stay whole: one with more entries than a group may have is a group of its own. */
  function takeGroup(): Append[] {
    let records = 0
    const end = waiting.findIndex(({ entries }, index) => (records += entries.length) > maxGroupRecords && index > 0)
    const group = waiting.splice(0, end === -1 ? waiting.length : end)
    waitingRecords -= recordsOf(group)
    return group
  }

  /** One group, whole or not at all. */
  async function commit(group: Append[]): Promise<void> {
    const stamp = stampNow()
    if (stamp === undefined) {
      enterTrouble('clock_behind', undefined)
      refuse(group)
      return
    }
    const { kept, encoded } = encodeAll(group, stamp)
    if (encoded.length === 0) return
    under = kept
    const stored = await write(kept.flatMap(({ entries }) => entries), encoded, stamp)
    const answered = new Set(under)
    under = []
    if (stored === undefined) {
      refuse(answered)
      return
    }
    let index = stored
    for (const one of kept) {
      // Those that were refused meanwhile are in the log, and don't count.
      if (answered.has(one)) one.resolve(index)
      index += one.entries.length
    }
  }

  /** The place of the first; undefined when they are not in the log, or nobody can say. */
  async function write(entries: readonly Entry[], encoded: readonly Uint8Array[], { ms }: Stamp): Promise<number | undefined> {
    const started = performance.now()
    const from = { size: edge.size, root }
    const { edge: extended, full } = extendEdge(edge, leafHashes(encoded))
    const to = { size: extended.size, root: edgeRoot(extended) }
    try {
      await store.append({ from, to, entries: encoded, tiles: full })
    } catch (thrown) {
      if (!(await settle(thrown, from, to))) return undefined
    }
    edge = extended
    root = to.root
    lastAt = ms
    const bytes = encoded.reduce((sum, { length }) => sum + length, 0)
    metrics.group({ entries, seconds: (performance.now() - started) / 1000, size: edge.size, bytes })
    onCommitted(from.size, encoded)
    return from.size
  }

  /** After a failed append: whether it is stored. Asks the store until it answers. */
  async function settle(thrown: unknown, from: TreeHead, to: TreeHead): Promise<boolean> {
    if (thrown instanceof HeadMovedError || !(thrown instanceof StoreError)) {
      fail('the audit log is written by somebody else', thrown)
      return false
    }
    enterTrouble(thrown.trouble, thrown)
    if (thrown.stored === 'no') return false
    for (let wait = firstRetryMs; state !== 'failed'; wait = Math.min(2 * wait, lastRetryMs)) {
      try {
        const head = await store.head()
        if (isSame(head, to)) return true
        if (isSame(head, from)) return false
        fail('the audit log is neither as it was before the last append nor as after it', thrown)
      } catch (again) {
        if (!(again instanceof StoreError)) fail('the audit log could not be read', again)
      }
      await pause(wait)
      if (state === 'closed') return false
    }
    return false
  }

  /** After trouble: tries until a record of the gap is in the log, before anything else is. */
  async function resume(gap: Trouble): Promise<void> {
    for (let wait = firstRetryMs; state === 'open'; wait = Math.min(2 * wait, lastRetryMs)) {
      await pause(wait)
      const stamp = stampNow()
      if (stamp === undefined || state !== 'open') continue
      const { since: from, reason, refused } = gap
      const record: Entry = { type: 'log.gap', from, reason, refused, unrecorded: 0 }
      probing = true
      const stored = await write([record], [encodeRecord({ v: recordVersion, at: stamp.at, clock: stamp.clock, ...record })], stamp)
      probing = false
      if (stored === undefined) {
        dropWaiting()
        continue
      }
      log.info({ records: edge.size, refused }, 'the audit log can be written again')
      // What was refused since, because this took too long, is told of by another.
      trouble = gap.refused === refused ? undefined : { ...gap, since: stamp.at, refused: gap.refused - refused }
      return
    }
    // Closed while it could not be written.
    dropWaiting()
    trouble = undefined
  }

  function enterTrouble(reason: Trouble['reason'], cause: unknown): void {
    probing = false
    if (trouble === undefined) {
      trouble = { since: new Date(Math.max(clock(), lastAt)).toISOString(), reason, refused: 0 }
      log.error({ reason, records: edge.size, ...(cause === undefined ? {} : { err: describeError(cause) }) }, 'the audit log could not be written: requests are refused')
    } else if (reason !== 'slow') trouble.reason = reason
    dropWaiting()
  }

  function dropWaiting(): void {
    refuse(waiting.splice(0))
    waitingRecords = 0
  }

  /** Undefined while the clock is too far behind. */
  function stampNow(): Stamp | undefined {
    const now = clock()
    if (now < lastAt - clockToleranceMs) return undefined
    const ms = Math.max(now, lastAt)
    return { ms, at: new Date(ms).toISOString(), clock: now < lastAt ? 'held' : 'ok' }
  }

  /** What can't be encoded is a mistake of whoever appends, and refused alone. */
  function encodeAll(group: readonly Append[], { at, clock: held }: Stamp): { kept: Append[]; encoded: Uint8Array[] } {
    const kept: Append[] = []
    const encoded: Uint8Array[] = []
    for (const one of group) {
      try {
        const own = one.entries.map((entry) => encodeRecord({ v: recordVersion, at, clock: held, ...entry }))
        for (const bytes of own) encoded.push(bytes)
        kept.push(one)
      } catch (thrown) {
        log.error({ type: one.entries[0]?.type, err: describeError(thrown) }, 'a record that the log does not take')
        one.reject(new ServiceError('INTERNAL', 'invalid_record', 'The audit record is not one that the log takes.', { cause: thrown }))
      }
    }
    return { kept, encoded }
  }

  function refuse(group: Iterable<Append>): void {
    for (const { reject } of group) reject(refusal())
  }

  function refusal(): ServiceError {
    if (trouble !== undefined) trouble.refused += 1
    metrics.refused()
    return unavailable()
  }

  function fail(what: string, cause: unknown): void {
    if (state === 'failed') return
    state = 'failed'
    log.error({ err: describeError(cause), records: edge.size }, what)
    refuse([...under.splice(0), ...waiting.splice(0)])
    stopWaiting?.()
    clearTimeout(timer)
    onFailed(cause)
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = setTimeout(resolve, ms)
      stopWaiting = () => {
        clearTimeout(done)
        resolve()
      }
    })
  }

  async function close(last: readonly Entry[]): Promise<void> {
    if (state === 'open') {
      if (trouble === undefined && last.length > 0) enqueue(last).catch((thrown: unknown) => log.warn({ err: describeError(thrown) }, 'the end of the audit log could not be written'))
      state = 'closed'
    }
    stopWaiting?.()
    await committing
    clearTimeout(timer)
  }

  store.lost.addEventListener('abort', () => fail('the store of the audit log is lost', store.lost.reason), { once: true })
  let closing: Promise<void> | undefined
  return {
    append,
    get usable() {
      return state !== 'failed'
    },
    get writable() {
      return state === 'open' && trouble === undefined
    },
    head: () => ({ size: edge.size, root }),
    fail,
    close: (last) => (closing ??= close(last)),
  }
}

function recordsOf(group: readonly Append[]): number {
  return group.reduce((sum, { entries }) => sum + entries.length, 0)
}

function isSame(a: TreeHead, b: TreeHead): boolean {
  return a.size === b.size && Buffer.compare(a.root, b.root) === 0
}

function unavailable(cause?: unknown): ServiceError {
  return new ServiceError('UNAVAILABLE', 'audit_unavailable', 'The audit record could not be made durable.', { retryAfterMs: 2000, cause })
}
