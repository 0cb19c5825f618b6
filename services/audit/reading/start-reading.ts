import { join } from 'node:path'
import { AuditReadService } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import type { Logger } from '../../shared/log.ts'
import { type BesideService, besideService } from '../../shared/rpc/serve.ts'
import { type LogIndex, openLogIndex } from '../index/log-index.ts'
import type { EntryOf } from '../records/record.ts'
import type { ReadableStore } from './read-store.ts'
import { createReadRecorder } from './reads.ts'
import { createAuditRead, readCallers } from './service.ts'

export interface StartReadingOptions {
  store: ReadableStore
  /** Folder of index.db; it is there. */
  folder: string
  /** Key that the log's checkpoints are verified with, as text. */
  vkey: string
  /** Resolves once the record is durable. */
  append: (entry: EntryOf<'log.read'>) => Promise<unknown>
  log: Logger
  clock: () => number
}

export interface Reading {
  /** To be told what is committed, and asked by others. */
  index: LogIndex
  /** What serveRpc is to serve beside the ledger. */
  beside: BesideService
  /** Before the store is closed. */
  close(): Promise<void>
}

/** The index of a log that is open, and the service that reads it. */
export function startReading({ store, folder, vkey, append, log, clock }: StartReadingOptions): Reading {
  const index = openLogIndex({ file: join(folder, 'index.db'), store, log })
  const handlers = createAuditRead({ store, index, vkey, reads: createReadRecorder(append), log, clock })
  return { index, beside: besideService({ service: AuditReadService, handlers, callers: readCallers }), close: () => index.close() }
}
