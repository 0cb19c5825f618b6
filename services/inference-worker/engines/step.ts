/**
 * Lock step for the requests that share a batch. node-llama-cpp (3.21, 3.22) decodes whatever is queued the moment a decode
 * ends; left alone, a request whose token was sampled first goes on without the others: two requests never share a batch, of
 * four three do, and as its context stays locked while anything is queued, a new request waits for the others to end before
 * its slot can be cleared. Here all requests of a step ask for the next one before it begins, and nobody queues more than the
 * batch holds.
 */
export interface Steps {
  /**
   * Waits for the next step; resolves with how many tokens the caller may evaluate in it: at least 1, at most `wanted`; 0
   * when the signal has aborted. Unless it is 0, the caller evaluates at once and then calls `done`, whatever came of it.
   */
  join(wanted: number, signal: AbortSignal): Promise<number>
  done(): void
  /** When the step under way began, by `now`; undefined when none is. */
  readonly startedAt: number | undefined
}

export interface StepOptions {
  /** Most tokens in one step; at least as many as may join. */
  batchSize: number
  now(): number
}

interface Waiting {
  wanted: number
  start(granted: number): void
}

export function createSteps({ batchSize, now }: StepOptions): Steps {
  const waiting = new Set<Waiting>()
  let running = 0
  let startedAt: number | undefined
  let scheduled = false

  function schedule(): void {
    if (scheduled || running > 0 || waiting.size === 0) return
    scheduled = true
    // Those whose tokens came in the same turn of the event loop join the same step.
    setImmediate(begin)
  }

  function begin(): void {
    scheduled = false
    const starting = [...waiting]
    if (starting.length === 0) return
    waiting.clear()
    startedAt = now()
    running = starting.length
    const grants = share(
      starting.map(({ wanted }) => wanted),
      batchSize,
    )
    starting.forEach(({ start }, index) => start(grants[index] ?? 1))
  }

  return {
    get startedAt() {
      return startedAt
    },
    join(wanted, signal) {
      return new Promise((resolve) => {
        if (signal.aborted) {
          resolve(0)
          return
        }
        const stop = (): void => {
          waiting.delete(entry)
          resolve(0)
        }
        const entry: Waiting = {
          wanted,
          start(granted) {
            signal.removeEventListener('abort', stop)
            resolve(granted)
          },
        }
        signal.addEventListener('abort', stop, { once: true })
        waiting.add(entry)
        schedule()
      })
    },
    done() {
      running -= 1
      if (running > 0) return
      startedAt = undefined
      schedule()
    },
  }
}

/**
 * Shares out a batch: everybody gets what they want up to an equal share, and what the modest leave goes to the others. Each
 * gets at least 1, so `size` must not be below the count of wants.
 */
export function share(wants: readonly number[], size: number): number[] {
  const grants = wants.map(() => 0)
  const modestFirst = wants.map((_, index) => index).toSorted((a, b) => (wants[a] ?? 0) - (wants[b] ?? 0))
  let left = size
  modestFirst.forEach((index, position) => {
    const granted = Math.min(wants[index] ?? 0, Math.floor(left / (modestFirst.length - position)))
    grants[index] = granted
    left -= granted
  })
  return grants
}
