import type { AuditReadService as definition, LogFile, ReadTileRequest } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import type { Content } from '../content/content.ts'
import { validContentQuestion } from '../content/validate-content.ts'
import { ServiceError } from '../../shared/errors.ts'
import type { Logger } from '../../shared/log.ts'
import type { CallContext } from '../../shared/rpc/handler.ts'
import type { HandlersOf } from '../../shared/rpc/methods.ts'
import type { LogIndex } from '../index/log-index.ts'
import { encodeBundle } from '../tlog/bundle.ts'
import { checkpointPath, fullWidth, parseTilePath } from '../tlog/tile-path.ts'
import { exportParts } from './export.ts'
import { answerQuery, periodOf } from './query.ts'
import { newestCheckpoint, type ReadableStore } from './read-store.ts'
import type { ReadRecorder } from './reads.ts'
import { tailRecords } from './tail.ts'
import { reportUsage, watchUsage } from './usage.ts'

export interface AuditReadOptions {
  store: ReadableStore
  index: LogIndex
  /** What teams have kept; undefined where a log's folder alone is read. */
  content: Pick<Content, 'read'> | undefined
  /** Key that the log's checkpoints are verified with, as text. */
  vkey: string
  reads: ReadRecorder
  log: Logger
  /** Milliseconds since 1970. */
  clock: () => number
  /** Ends the streams that would go on for ever. */
  draining: AbortSignal
}

/** Whoever reads one bundle reads many: one record stands for those of so long. */
const bundleReadMs = 60_000
/** Readers of bundles that are remembered. */
const mostReaders = 1000

/** Services that may call some of these. */
export const readCallers = ['cli', 'gateway']

/** The handlers of audit_read.proto. */
export function createAuditRead({ store, index, content, vkey, reads, log, clock, draining }: AuditReadOptions): HandlersOf<typeof definition> {
  const bundleReads = new Map<string, number>()

  async function recordBundleRead(reader: string, call: CallContext): Promise<void> {
    const key = `${call.peer}:${reader}`
    if (clock() - (bundleReads.get(key) ?? -Infinity) < bundleReadMs) return
    await reads.record({ operation: 'tiles', reader }, call)
    if (bundleReads.size >= mostReaders) bundleReads.clear()
    bundleReads.set(key, clock())
  }

  async function readTile({ reader, path }: ReadTileRequest, call: CallContext): Promise<LogFile> {
    const place = parseTilePath(path)
    if (place === undefined) throw noSuchTile()
    if (place.level !== 'entries') {
      const content = await store.tile(place.level, place.index, place.width)
      if (content === undefined) throw noSuchTile()
      return { path, content: Buffer.from(content) }
    }
    const from = place.index * fullWidth
    if (from + place.width > (await store.head()).size) throw noSuchTile()
    await recordBundleRead(reader, call)
    const entries: (Uint8Array | undefined)[] = []
    for await (const entry of store.entries(from, from + place.width)) entries.push(entry)
    return { path, content: encodeBundle(entries) }
  }

  return {
    async query(request, call) {
      admit(call, 'cli')
      await reads.record({ operation: 'query', reader: request.reader, team: request.team, ...periodOf(request) }, call)
      return answerQuery(index, request)
    },
    async *export(request, call) {
      admit(call, 'cli')
      await reads.record({ operation: 'export', reader: request.reader, team: request.team, ...periodOf(request) }, call)
      log.info({ team: request.team }, 'an export of the audit log begins')
      yield* exportParts({ store, index, vkey }, request, call.signal)
    },
    async *tail(request, call) {
      admit(call, 'cli')
      await reads.record({ operation: 'tail', reader: request.reader, team: request.team }, call)
      yield* tailRecords({ store, index }, request, AbortSignal.any([call.signal, draining]))
    },
    async usage(request, call) {
      admit(call, 'cli')
      await reads.record({ operation: 'usage', reader: request.reader, team: request.team }, call)
      return reportUsage(index, request)
    },
    async *watchUsage(request, call) {
      admit(call, 'gateway')
      yield* watchUsage(index, request, AbortSignal.any([call.signal, draining]))
    },
    async readCheckpoint() {
      const { note } = await newestCheckpoint(store)
      return { path: checkpointPath, content: Buffer.from(note) }
    },
    readTile,
    async *readContent(request, call) {
      admit(call, 'cli')
      const asked = validContentQuestion(request)
      if (content === undefined || asked === undefined) throw new ServiceError('NOT_FOUND', 'content_not_found', 'Nothing is kept of such a request of this team.')
      await reads.recordContent({ reader: request.reader, ...asked }, call)
      yield* content.read(asked.team, asked.requestId)
    },
  }
}

function admit({ peer }: CallContext, only: 'cli' | 'gateway'): void {
  if (peer !== only) throw new ServiceError('PERMISSION_DENIED', 'caller_not_allowed', 'This method does not answer to the certificate of this caller.')
}

function noSuchTile(): ServiceError {
  return new ServiceError('NOT_FOUND', 'no_such_tile', 'The audit log has no such tile: see c2sp.org/tlog-tiles for their paths.')
}
