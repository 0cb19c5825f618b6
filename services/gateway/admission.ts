import { ServiceError } from '../shared/errors.ts'

export interface AdmissionLimits {
  /** Requests that may be under way at a time. */
  maxConcurrent: number
  /** Requests that may wait for their turn, over all teams. */
  maxQueued: number
  queueTimeoutMs: number
}

export interface Admission {
  readonly running: number
  readonly queued: number
  /**
   * Waits for a turn; teams take turns, each in its own order, so that one that floods the queue delays itself. Call the result to leave.
   * Throws RESOURCE_EXHAUSTED queue_full or queue_timeout with a time to retry after, or the signal's reason.
   */
  enter(team: string, signal: AbortSignal): Promise<() => void>
}

interface Waiting {
  admit(): void
  refuse(): void
}

export function createAdmission(limits: AdmissionLimits): Admission {
  let running = 0
  let queued = 0
  // Teams in the order of their turns: a team goes to the end after it was served. An empty queue is removed.
  const queues = new Map<string, Set<Waiting>>()
  let meanMs = 1000

  function turn(): () => void {
    running += 1
    const started = performance.now()
    let left = false
    return () => {
      if (left) return
      left = true
      running -= 1
      meanMs += (performance.now() - started - meanMs) / 16
      admitNext()
    }
  }

  function admitNext(): void {
    if (running >= limits.maxConcurrent) return
    const next = queues.entries().next().value
    if (next === undefined) return
    const [team, waiting] = next
    queues.delete(team)
    const [first] = waiting
    if (first === undefined) return
    waiting.delete(first)
    if (waiting.size > 0) queues.set(team, waiting)
    first.admit()
  }

  /** In a queue that is full: the team that fills it most loses the last that came. False when that is this team. */
  function makeRoom(team: string): boolean {
    const longest = [...queues.values()].reduce((most, queue) => (queue.size > most.size ? queue : most), new Set<Waiting>())
    if (longest.size <= (queues.get(team)?.size ?? 0) + 1) return false
    ;[...longest].at(-1)?.refuse()
    return true
  }

  function full(): ServiceError {
    return refusal('queue_full', 'Too many requests are waiting. Try again later.')
  }

  function refusal(reason: string, message: string): ServiceError {
    const retryAfterMs = Math.min(30_000, Math.max(1000, (meanMs * (queued + 1)) / limits.maxConcurrent))
    return new ServiceError('RESOURCE_EXHAUSTED', reason, message, { retryAfterMs })
  }

  return {
    get running() {
      return running
    },
    get queued() {
      return queued
    },
    async enter(team, signal) {
      signal.throwIfAborted()
      if (running < limits.maxConcurrent && queued === 0) return turn()
      if (queued >= limits.maxQueued && !makeRoom(team)) throw full()
      return new Promise((resolve, reject) => {
        const queue = queues.get(team) ?? new Set<Waiting>()
        queues.set(team, queue)
        const leaveQueue = (): void => {
          queued -= 1
          clearTimeout(timeout)
          signal.removeEventListener('abort', onAbort)
        }
        const giveUp = (reason: unknown): void => {
          queue.delete(waiting)
          if (queue.size === 0 && queues.get(team) === queue) queues.delete(team)
          leaveQueue()
          reject(reason)
        }
        const onAbort = (): void => giveUp(signal.reason)
        const timeout = setTimeout(() => giveUp(refusal('queue_timeout', 'The request waited too long for its turn. Try again later.')), limits.queueTimeoutMs)
        const waiting: Waiting = {
          admit() {
            leaveQueue()
            resolve(turn())
          },
          refuse: () => giveUp(full()),
        }
        signal.addEventListener('abort', onAbort, { once: true })
        queue.add(waiting)
        queued += 1
      })
    },
  }
}
