import { asServiceError } from '../errors.ts'
import { describeError, type Logger } from '../log.ts'
import type { DirectoryChange } from './changes.ts'
import type { Directory } from './directory.ts'

export interface DeliverChangesOptions {
  directory: Pick<Directory, 'changesAfter'>
  /** Resolves when the ledger has it. */
  record(change: DirectoryChange, signal: AbortSignal): Promise<void>
  log: Logger
  /** How often is looked for new ones, in milliseconds. */
  intervalMs?: number
}

/** Tells the ledger what was changed of teams and keys: they are changed by commands, which have no connection to it. */
export interface ChangesDelivery {
  /** The ledger is there, and has all changes up to this one. */
  attached(recorded: number): void
  close(): void
}

const batch = 100

export function deliverChanges({ directory, record, log, intervalMs = 1000 }: DeliverChangesOptions): ChangesDelivery {
  const closing = new AbortController()
  /** Undefined until the ledger has told. */
  let recorded: number | undefined
  let delivering = false
  let troubled = false

  async function deliver(): Promise<void> {
    if (delivering || recorded === undefined) return
    delivering = true
    try {
      for (;;) {
        const changes = directory.changesAfter(recorded, batch)
        for (const change of changes) {
          // oxlint-disable-next-line no-await-in-loop -- in their order
          await record(change, closing.signal)
          recorded = change.id
        }
        troubled = false
        if (changes.length < batch) break
      }
    } catch (thrown) {
      if (!troubled && !closing.signal.aborted) log.warn({ err: describeError(asServiceError(thrown)) }, 'changes of the directory can not be recorded yet')
      troubled = true
    } finally {
      delivering = false
    }
  }

  const timer = setInterval(() => void deliver(), intervalMs)
  timer.unref()
  return {
    attached(upTo) {
      recorded = Math.max(recorded ?? 0, upTo)
      void deliver()
    },
    close() {
      clearInterval(timer)
      closing.abort()
    },
  }
}
