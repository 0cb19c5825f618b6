import { describeError, type Logger } from '../../shared/log.ts'
import type { PrunedClass } from '../records/record.ts'
import { doubtfulRetention } from './plan.ts'
import { pruneLog, type PruneOptions } from './prune-log.ts'

export interface RetentionOptions extends Omit<PruneOptions, 'signal' | 'onPruned'> {
  /** Calls `run` once after a while, unless the function it returns is called before. */
  schedule: (run: () => void, ms: number) => () => void
  logger: Logger
  metrics: RetentionMetrics
}

export interface RetentionMetrics {
  pruned(of: PrunedClass, entries: number): void
  /** A run could not be ended. */
  pruneFailed(): void
}

export interface RunningRetention {
  /** Ends the run that is under way, between two steps. Before the index and the log are closed. */
  close(): Promise<void>
}

/** From the end of one run to the next. */
const dayMs = 86_400_000
/** After one that failed. */
const retryMs = 600_000

/** Drops what is old, now and once a day, beside everything else. Warns of times that may not be lawful. */
export function startRetention({ schedule, logger, metrics, ...options }: RetentionOptions): RunningRetention {
  const closing = new AbortController()
  let cancel = (): void => undefined
  let running = run()

  for (const { setting, days, why } of doubtfulRetention(options.retention)) {
    if (why === 'too_short') logger.warn({ setting, days }, `records of the audit log are dropped after less than six months: where the EU's AI Act holds (articles 19 and 26(6)), that is unlawful`)
    else logger.info({ setting, days }, 'records of the audit log are kept for more than a year, which is longer than data protection authorities advise without a reason of its own')
  }

  async function run(): Promise<void> {
    const gone = new Map<PrunedClass, number>()
    let waitMs = dayMs
    try {
      await pruneLog({
        ...options,
        signal: closing.signal,
        onPruned(of, entries) {
          gone.set(of, (gone.get(of) ?? 0) + entries)
          metrics.pruned(of, entries)
        },
      })
    } catch (thrown) {
      if (!closing.signal.aborted) {
        waitMs = retryMs
        metrics.pruneFailed()
        logger.warn({ err: describeError(thrown) }, 'old records of the audit log could not be dropped; it is tried again in ten minutes')
      }
    }
    if (gone.size > 0) logger.info(Object.fromEntries(gone), 'old records of the audit log were dropped')
    if (!closing.signal.aborted) cancel = schedule(() => void (running = run()), waitMs)
  }

  return {
    async close() {
      closing.abort(new Error('the audit service is stopping'))
      cancel()
      await running
    },
  }
}
