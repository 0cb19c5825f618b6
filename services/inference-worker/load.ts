/** What the worker has in hand, and how fast it has been: for whoever chooses between workers. */
export interface WorkerLoad {
  /** Of the requests that have a slot: tokens that are left to evaluate, or may still be decoded. */
  readonly tokensInFlight: number
  /** Of one request, while others run beside it: moving means; 0 before anything was measured. */
  readonly prefillTokensPerSecond: number
  readonly decodeTokensPerSecond: number
  /** A request begins that will take so many tokens at most. */
  enter(tokens: number): LoadEntry
}

export interface LoadEntry {
  /** So many of them are done. */
  done(tokens: number): void
  /** Ends it, and tells how long its two phases took; undefined for one that was not completed. */
  leave(prefill: Phase | undefined, decode: Phase | undefined): void
}

export interface Phase {
  tokens: number
  ms: number
}

/** Weight of the newest in the moving means. */
const newest = 0.1

export function createWorkerLoad(): WorkerLoad {
  let tokensInFlight = 0
  const prefill = createSpeed()
  const decode = createSpeed()
  return {
    get tokensInFlight() {
      return tokensInFlight
    },
    get prefillTokensPerSecond() {
      return prefill.perSecond
    },
    get decodeTokensPerSecond() {
      return decode.perSecond
    },
    enter(tokens) {
      let left = tokens
      tokensInFlight += left
      const done = (count: number): void => {
        const counted = Math.min(count, left)
        left -= counted
        tokensInFlight -= counted
      }
      return {
        done,
        leave(prefilled, decoded) {
          done(left)
          prefill.measure(prefilled)
          decode.measure(decoded)
        },
      }
    },
  }
}

function createSpeed() {
  let tokens = 0
  let ms = 0
  return {
    get perSecond() {
      return ms === 0 ? 0 : (1000 * tokens) / ms
    },
    measure(phase: Phase | undefined): void {
      if (phase === undefined || phase.ms <= 0 || phase.tokens === 0) return
      const share = ms === 0 ? 1 : newest
      tokens += share * (phase.tokens - tokens)
      ms += share * (phase.ms - ms)
    },
  }
}
