import { AuditService } from '../../proto/gen/intramuros/v1/audit.ts'
import { asServiceError } from '../shared/errors.ts'
import type { Directory } from '../shared/directory/directory.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { Peer } from '../shared/rpc/lane-client.ts'

export interface DirectoryChangesOptions {
  directory: Pick<Directory, 'changesAfter'>
  audit: Pick<Peer, 'unary'>
  log: Logger
  /** How often is looked for new ones, in milliseconds. */
  intervalMs?: number
}

/** Tells the ledger what was changed of teams and keys: they are changed by commands, which have no connection to it. */
export interface DirectoryChanges {
  /** The ledger is there, and has all changes up to this one. */
  attached(recorded: number): void
  close(): void
}

const callTimeoutMs = 5000
const batch = 100

export function createDirectoryChanges({ directory, audit, log, intervalMs = 1000 }: DirectoryChangesOptions): DirectoryChanges {
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
        for (const { id, changedAt, event, team, keyId, settings } of changes) {
          const value = { id: BigInt(id), changedAt, event, team, keyId, settings: [...settings] }
          const message = { id: `directory-${id}`, event: { $case: 'directoryChanged', value } as const }
          // oxlint-disable-next-line no-await-in-loop -- in their order
          await audit.unary(AuditService.record, message, { requestId: message.id, signal: closing.signal, timeoutMs: callTimeoutMs })
          recorded = id
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
