import { describeError, type Logger } from '../../shared/log.ts'
import { type Anchor, type AnchoredCheckpoint, AnchorConflictError, AnchorError } from './anchor.ts'
import { createTrouble } from './trouble.ts'
import type { Rounds } from './witnesses.ts'

export interface CopyMetrics {
  /** The place had the newest checkpoint; `atMs` is our clock. */
  current(anchor: string, at: { size: number; atMs: number }): void
  failed(anchor: string): void
  alarm(anchor: string): void
}

export interface CopiesOptions {
  anchors: readonly { anchor: Anchor; intervalMs: number }[]
  /** The newest checkpoint that is published; undefined while there is none. Throws when the store does not answer. */
  newest: () => Promise<AnchoredCheckpoint | undefined>
  log: Logger
  metrics: CopyMetrics
  clock: () => number
  /** Resolves after a time, or when the signal aborts, at once. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>
}

/** Waits after failures, from the first to the last, in milliseconds. */
const [firstRetryMs, lastRetryMs] = [1000, 300_000]

/** Copies the newest checkpoint to each place when its time has come. What could not be copied is passed over: a newer one contains it. */
export function startCopies({ anchors, newest, log, metrics, clock, pause }: CopiesOptions): Rounds {
  const over = new AbortController()

  async function run({ anchor, intervalMs }: CopiesOptions['anchors'][number]): Promise<void> {
    const trouble = createTrouble({
      fields: { anchor: anchor.name, kind: anchor.kind },
      texts: { alarm: 'a write-once copy of a checkpoint is not of this audit log', warning: 'a checkpoint could not be copied', over: 'checkpoints are copied again' },
      log,
      clock,
    })
    let copied: number | undefined
    let failures = 0
    while (!over.signal.aborted) {
      try {
        const checkpoint = await newest()
        if (checkpoint !== undefined && checkpoint.size !== copied) await anchor.put(checkpoint, over.signal)
        failures = 0
        if (checkpoint !== undefined) {
          copied = checkpoint.size
          metrics.current(anchor.name, { size: copied, atMs: clock() })
          trouble.succeeded()
        }
      } catch (thrown) {
        if (over.signal.aborted) return
        failures += 1
        const alarm = thrown instanceof AnchorConflictError
        metrics.failed(anchor.name)
        if (alarm) metrics.alarm(anchor.name)
        trouble.failed(thrown instanceof AnchorError ? thrown.message : JSON.stringify(describeError(thrown)), { alarm })
      }
      await pause(failures === 0 ? intervalMs : retryMs(failures), over.signal)
    }
  }

  const running = anchors.map(run)
  return {
    async close() {
      over.abort()
      await Promise.all(running)
      for (const { anchor } of anchors) anchor.close()
    },
  }
}

function retryMs(failures: number): number {
  return Math.min(firstRetryMs * 2 ** Math.min(failures - 1, 30), lastRetryMs)
}
