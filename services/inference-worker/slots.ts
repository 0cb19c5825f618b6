import { ServiceError } from '../shared/errors.ts'

export interface Slot {
  /** From 0. */
  readonly index: number
  /** Gives it to the next in the queue. Once; later calls do nothing. */
  release(): void
}

/** The engine's slots and, in order of arrival, the requests that wait for one. */
export interface Slots {
  readonly count: number
  readonly running: number
  readonly queued: number
  /**
   * Waits for a slot. Throws RESOURCE_EXHAUSTED queue_full when too many wait already, and the signal's reason when it aborts.
   */
  acquire(signal: AbortSignal): Promise<Slot>
  /** Told after each change; returns what ends that. */
  subscribe(listener: () => void): () => void
}

export interface SlotOptions {
  count: number
  /** Most requests that wait. */
  maxQueued: number
  /** Milliseconds, monotonic. */
  now(): number
}

/** What a slot is taken to be held for, in milliseconds, before any was released. */
const firstHoldMs = 1000
/** Weight of the newest in the moving mean. */
const newest = 0.2
const retryAfterMs = { least: 100, most: 60_000 } as const

export function createSlots({ count, maxQueued, now }: SlotOptions): Slots {
  const free = Array.from({ length: count }, (_, index) => count - 1 - index)
  const queue = new Set<(slot: Slot) => void>()
  const listeners = new Set<() => void>()
  let meanHoldMs: number | undefined

  function changed(): void {
    for (const listener of listeners) listener()
  }

  function take(index: number): Slot {
    const since = now()
    let held = true
    return {
      index,
      release() {
        if (!held) return
        held = false
        const holdMs = now() - since
        meanHoldMs = meanHoldMs === undefined ? holdMs : meanHoldMs + newest * (holdMs - meanHoldMs)
        const [next] = queue
        if (next === undefined) {
          free.push(index)
        } else {
          queue.delete(next)
          next(take(index))
        }
        changed()
      },
    }
  }

  function full(): ServiceError {
    // One more place in the queue comes free when a slot does: after the mean hold divided by the slots.
    const estimate = Math.round((meanHoldMs ?? firstHoldMs) / count)
    return new ServiceError(
      'RESOURCE_EXHAUSTED',
      'queue_full',
      'Too many requests are waiting for this model. Try again later.',
      {
        retryAfterMs: Math.min(Math.max(estimate, retryAfterMs.least), retryAfterMs.most),
      },
    )
  }

  return {
    count,
    get running() {
      return count - free.length
    },
    get queued() {
      return queue.size
    },
    acquire(signal) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted()
        const index = free.pop()
        if (index !== undefined) {
          resolve(take(index))
          changed()
          return
        }
        if (queue.size >= maxQueued) throw full()
        const leave = (): void => {
          queue.delete(enter)
          reject(signal.reason as Error)
          changed()
        }
        const enter = (slot: Slot): void => {
          signal.removeEventListener('abort', leave)
          resolve(slot)
        }
        signal.addEventListener('abort', leave, { once: true })
        queue.add(enter)
        changed()
      })
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
