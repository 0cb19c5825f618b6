import { AuditReadService } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { ServiceError } from '../../shared/errors.ts'
import type { Logger } from '../../shared/log.ts'
import { type BesideService, besideService } from '../../shared/rpc/serve.ts'
import type { Content } from '../content/content.ts'
import type { LogIndex } from '../index/log-index.ts'
import type { EntryOf } from '../records/record.ts'
import type { ReadableStore } from './read-store.ts'
import { createReadRecorder } from './reads.ts'
import { createAuditRead, readCallers } from './service.ts'

export interface StartReadingOptions {
  store: ReadableStore
  /** Of that log; it is closed with the reading. */
  index: LogIndex
  /** Key that the log's checkpoints are verified with, as text. */
  vkey: string
  content: Pick<Content, 'read'>
  /** Resolves once the record is durable. */
  append: (entry: EntryOf<'log.read' | 'content.read'>) => Promise<unknown>
  log: Logger
  clock: () => number
}

export interface Reading {
  /** To be told what is committed, and asked by others. */
  index: LogIndex
  /** What serveRpc is to serve beside the ledger. */
  beside: BesideService
  /** Where the records of a request are; undefined when there are none. Throws UNAVAILABLE index_unavailable. */
  find(requestId: string): Promise<{ team: string; begin: number; end?: number } | undefined>
  /** Ends the streams that would go on for ever, with UNAVAILABLE draining. */
  drain(): void
  /** Before the store is closed. */
  close(): Promise<void>
}

/** The index of a log that is open, and the service that reads it. */
export function startReading({ store, index, content, vkey, append, log, clock }: StartReadingOptions): Reading {
  const draining = new AbortController()
  const handlers = createAuditRead({ store, index, content, vkey, reads: createReadRecorder(append), log, clock, draining: draining.signal })
  return {
    index,
    beside: besideService({ service: AuditReadService, handlers, callers: readCallers }),
    async find(requestId) {
      const row = await index.ask('find', requestId)
      return row && { team: row.team, begin: row.beginIndex, ...(row.end && { end: row.end.index }) }
    },
    drain: () => draining.abort(new ServiceError('UNAVAILABLE', 'draining', 'The audit service is stopping.', { retryAfterMs: 1000 })),
    close: () => index.close(),
  }
}
