import { describeError, type Logger } from '../shared/log.ts'
import type { Entry } from './records/record.ts'

export interface StallOptions {
  append: (entries: readonly Entry[]) => Promise<number>
  /** A standstill that is longer than this, in milliseconds, is one that requests were refused in: what an append may take. */
  limitMs: number
  /** Milliseconds of a clock that nobody sets. */
  monotonic: () => number
  /** Milliseconds since 1970. */
  clock: () => number
  log: Pick<Logger, 'warn'>
}

/** How often it is looked; a gap may begin so much too early in its record. */
const everyMs = 500

/**
 * Notices, once the process runs again, that it stood still: stopped by a signal, frozen with its container, or starved. The log had no
 * trouble then, but gateways got no answer and refused what came: that is a gap too, and recorded. Returns what ends it.
 */
export function watchStalls({ append, limitMs, monotonic, clock, log }: StallOptions): () => void {
  let seen = { monotonic: monotonic(), at: clock() }
  const timer = setInterval(() => {
    const before = seen
    seen = { monotonic: monotonic(), at: clock() }
    const stoodMs = Math.round(seen.monotonic - before.monotonic)
    if (stoodMs <= limitMs + everyMs) return
    log.warn({ stoodMs }, 'the audit service stood still: requests were refused meanwhile')
    append([{ type: 'log.gap', from: new Date(before.at).toISOString(), reason: 'slow', refused: 0, unrecorded: 0 }]).catch((thrown: unknown) =>
      // Then the log is in trouble itself, and will tell of that.
      log.warn({ err: describeError(thrown) }, 'that the audit service stood still could not be recorded'),
    )
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
