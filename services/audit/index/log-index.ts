import { Worker } from 'node:worker_threads'
import { setTimeout as after } from 'node:timers/promises'
import { ServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import type { LogStore } from '../store/store.ts'
import { encodeBundle } from '../tlog/bundle.ts'
import { fullWidth, widthAt } from '../tlog/tile-path.ts'
import { hashBytes } from '../tlog/merkle.ts'
import type { Applied } from './ingest.ts'
import type { IndexOperations } from './index-database.ts'
import { isUnusable, removeDatabase } from './schema.ts'
import type { ThreadAnswer, ThreadRequest } from './thread.ts'
import type { TeamUsage } from './usage-fold.ts'

export interface LogIndexOptions {
  /** `index.db`, for this process alone. May be deleted while nobody runs; its folder must be there. */
  file: string
  store: Pick<LogStore, 'head' | 'entries' | 'tile'>
  log: Logger
  /** Most entries that are taken in at once. */
  batchEntries?: number
  /** How long to wait before another try when the index or the store failed, in milliseconds. */
  retryMs?: number
}

/** Rows over the log, for questions that the log itself can't answer quickly. Follows the log by itself; what it answers may lag behind. */
export interface LogIndex {
  /** Entries of the log that answers are complete up to. */
  readonly size: number
  /** Tells of entries that were committed; without it they are found by the next one. They are read at once or not at all. */
  committed(first: number, entries: readonly Uint8Array[]): void
  /** Resolves once the index is complete up to so many entries, which may be more than there are yet. Rejects when the signal aborts. */
  reached(size: number, signal: AbortSignal): Promise<void>
  /** Asks for something; see index-database.ts. Throws UNAVAILABLE index_unavailable. */
  ask<Operation extends Question>(operation: Operation, ...argument: ArgumentOf<Operation>): Promise<ReturnType<IndexOperations[Operation]>>
  /** Told what teams used with each step, and the size that it was reached with. Returns what ends it. */
  onUsage(listener: (used: readonly TeamUsage[], size: number) => void): () => void
  close(): Promise<void>
}

type Question = Exclude<keyof IndexOperations, 'apply' | 'progress'>
type ArgumentOf<Operation extends keyof IndexOperations> = Parameters<IndexOperations[Operation]> extends [undefined] ? [] : Parameters<IndexOperations[Operation]>

interface Thread {
  /** Rejects when the thread has ended. */
  readonly lost: Promise<never>
  call<Operation extends keyof IndexOperations>(operation: Operation, argument: Parameters<IndexOperations[Operation]>[0], transfer?: ArrayBuffer[]): Promise<ReturnType<IndexOperations[Operation]>>
  close(): Promise<void>
}

/** What was committed and waits to be taken in; more of it is read from the store when it is wanted. */
const mostWaiting = 65_536

/** Opens the index and starts to follow the log. Resolves at once: how far it is, `reached` tells. */
export function openLogIndex(options: LogIndexOptions): LogIndex {
  const { file, store, log, batchEntries = 8192, retryMs = 1000 } = options
  const closing = new AbortController()
  const listeners = new Set<(used: readonly TeamUsage[], size: number) => void>()
  const waiters = new Set<{ size: number; resolve: () => void }>()
  let waiting: { first: number; entries: readonly Uint8Array[] }[] = []
  let waitingEntries = 0
  let size = 0
  /** Entries that are known to be committed. */
  let target = 0
  /** Somebody waits for more than is known: the store may have it. */
  let look = true
  let wake: (() => void) | undefined
  let thread: Promise<Thread> | undefined
  /** It was told that it fails. */
  let troubled = false

  const following = follow()

  async function follow(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const opened = await (thread = openThread())
        look = true
        while (!closing.signal.aborted) {
          if (look) {
            look = false
            target = Math.max(target, (await store.head()).size)
          }
          if (size < target) await step(opened)
          else if (!look) await Promise.race([sleep(), opened.lost])
        }
      } catch (thrown) {
        if (closing.signal.aborted) return
        if (!troubled) log.warn({ err: describeError(thrown) }, 'the index of the audit log failed, and is opened again until it works')
        troubled = true
        const failed = await thread?.catch(() => undefined)
        thread = undefined
        await failed?.close()
        if (isUnusable(thrown)) removeDatabase(file)
        await after(retryMs, undefined, { signal: closing.signal }).catch(() => undefined)
      }
    }
  }

  /** The thread, with an index that is of this log and not ahead of it. */
  async function openThread(): Promise<Thread> {
    const opened = startThread(file)
    const progress = await opened.call('progress', undefined)
    if (await isOfThisLog(store, progress)) {
      size = progress.size
      return opened
    }
    log.warn({ entries: progress.size }, 'the index is of another audit log, and is made anew')
    await opened.close()
    removeDatabase(file)
    size = 0
    return startThread(file)
  }

  async function step(opened: Thread): Promise<void> {
    const entries = await nextEntries()
    const bundle = encodeBundle(entries)
    const bytes = new Uint8Array(bundle)
    const applied: Applied = await opened.call('apply', { first: size, count: entries.length, bundle: bytes }, [bytes.buffer])
    size = applied.size
    troubled = false
    for (const waiter of waiters) {
      if (waiter.size > size) continue
      waiters.delete(waiter)
      waiter.resolve()
    }
    for (const listener of listeners) listener(applied.used, size)
  }

  /** At least one. */
  async function nextEntries(): Promise<(Uint8Array | undefined)[]> {
    const entries: (Uint8Array | undefined)[] = []
    for (let head = waiting[0]; head !== undefined && head.first <= size + entries.length; head = waiting[0]) {
      if (entries.length > 0 && entries.length + head.entries.length > batchEntries) break
      waiting.shift()
      waitingEntries -= head.entries.length
      entries.push(...head.entries.slice(Math.max(0, size + entries.length - head.first)))
    }
    if (entries.length > 0) return entries
    for await (const entry of store.entries(size, Math.min(target, size + batchEntries))) entries.push(entry)
    if (entries.length === 0) throw new Error('the store has no entries where it should have some')
    return entries
  }

  function sleep(): Promise<void> {
    return new Promise((resolve) => {
      wake = resolve
    })
  }

  return {
    get size() {
      return size
    },
    committed(first, entries) {
      target = Math.max(target, first + entries.length)
      const last = waiting.at(-1)
      const follows = last === undefined || last.first + last.entries.length === first
      if (follows && waitingEntries + entries.length <= mostWaiting) {
        waiting.push({ first, entries })
        waitingEntries += entries.length
      } else {
        waiting = []
        waitingEntries = 0
      }
      wake?.()
    },
    reached(wanted, signal) {
      if (size >= wanted) return Promise.resolve()
      look ||= wanted > target
      wake?.()
      return new Promise((resolve, reject) => {
        const give = (): void => {
          waiters.delete(waiter)
          reject(signal.reason instanceof Error ? signal.reason : new Error('no longer wanted'))
        }
        const waiter = {
          size: wanted,
          resolve() {
            signal.removeEventListener('abort', give)
            resolve()
          },
        }
        if (signal.aborted) {
          give()
          return
        }
        waiters.add(waiter)
        signal.addEventListener('abort', give, { once: true })
      })
    },
    async ask(operation, ...[argument]) {
      try {
        if (thread === undefined) throw new Error('the index is not open')
        return await (await thread).call(operation, argument)
      } catch (cause) {
        throw new ServiceError('UNAVAILABLE', 'index_unavailable', 'The index of the audit log can not be read now.', { retryAfterMs: 2000, cause })
      }
    },
    onUsage(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async close() {
      closing.abort()
      wake?.()
      await following
      const opened = await thread?.catch(() => undefined)
      await opened?.close()
    },
  }
}

/** Whether the last entry that the index has is the log's. */
async function isOfThisLog(store: Pick<LogStore, 'head' | 'tile'>, { size, lastLeaf }: { size: number; lastLeaf: string }): Promise<boolean> {
  if (size === 0) return true
  const head = await store.head()
  if (size > head.size) return false
  if (lastLeaf === '') return true
  const index = Math.floor((size - 1) / fullWidth)
  const tile = await store.tile(0, index, widthAt(head.size, 0, index))
  const at = ((size - 1) % fullWidth) * hashBytes
  return tile !== undefined && Buffer.from(tile.subarray(at, at + hashBytes)).toString('hex') === lastLeaf
}

function startThread(file: string): Thread {
  const worker = new Worker(new URL('thread.ts', import.meta.url), { workerData: { file }, name: 'audit-index' })
  const calls = new Map<number, { resolve: (value: never) => void; reject: (reason: unknown) => void }>()
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => undefined) // each call is told, too
  let failure: Error | undefined
  let nextId = 1

  function fail(reason: Error): void {
    failure ??= reason
    lost.reject(failure)
    for (const call of calls.values()) call.reject(failure)
    calls.clear()
  }

  const ended = new Promise<void>((resolve) => {
    worker.on('error', (error) => fail(error instanceof Error ? error : new Error('the thread of the index failed')))
    worker.on('exit', () => {
      fail(new Error('the thread of the index has ended'))
      resolve()
    })
  })
  worker.on('message', ({ id, value }: ThreadAnswer) => {
    calls.get(id)?.resolve(value as never)
    calls.delete(id)
  })

  function post(message: ThreadRequest | 'close', transfer: ArrayBuffer[]): void {
    worker.postMessage(message, transfer)
  }

  return {
    lost: lost.promise,
    call(operation, argument, transfer = []) {
      if (failure !== undefined) return Promise.reject(failure)
      return new Promise((resolve, reject) => {
        const id = nextId
        nextId += 1
        calls.set(id, { resolve, reject })
        post({ id, operation, argument }, transfer)
      })
    },
    async close() {
      post('close', [])
      await ended
    },
  }
}
