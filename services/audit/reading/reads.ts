import { Compile } from 'typebox/compile'
import Type from 'typebox'
import { ServiceError } from '../../shared/errors.ts'
import type { CallContext } from '../../shared/rpc/handler.ts'
import { type EntryOf, fieldsOf } from '../records/record.ts'

export type Operation = EntryOf<'log.read'>['operation']

export interface Read {
  operation: Operation
  /** Who reads, as the caller says. */
  reader: string
  team?: string
  fromMs?: number | undefined
  toMs?: number | undefined
}

const entryOf = Compile(Type.Object(fieldsOf('log.read')))
const contentEntryOf = Compile(Type.Object(fieldsOf('content.read')))

/** Makes reads known to the log, before anything is read. */
export interface ReadRecorder {
  /** Resolves once the record of the read is durable. Throws INVALID_ARGUMENT invalid_request, and what the log throws. */
  record(read: Read, call: CallContext): Promise<void>
  /** The same of the content that was kept of a request. */
  recordContent(read: { reader: string; team: string; requestId: string }, call: CallContext): Promise<void>
}

/** `append` resolves once the record is durable. */
export function createReadRecorder(append: (entry: EntryOf<'log.read' | 'content.read'>) => Promise<unknown>): ReadRecorder {
  return {
    async record({ operation, reader, team = '', fromMs, toMs }, { peer }) {
      const fields = { by: `${peer}:${reader}`, auth: 'certificate' as const, operation, team, from: timeText(fromMs), to: timeText(toMs) }
      if (reader === '' || !entryOf.Check(fields)) throw invalid('the reader or the team has characters that a record does not take, or is too long')
      await append({ type: 'log.read', ...fields })
    },
    async recordContent({ reader, team, requestId }, { peer }) {
      const fields = { by: `${peer}:${reader}`, auth: 'certificate' as const, team, requestId }
      if (reader === '' || !contentEntryOf.Check(fields)) throw invalid('the reader or the team has characters that a record does not take, or is too long')
      await append({ type: 'content.read', ...fields })
    },
  }
}

export function invalid(what: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'invalid_request', `The request is not valid: ${what}.`)
}

/** Milliseconds of a message; throws INVALID_ARGUMENT for a time that no record has. */
export function timeOf(value: bigint | undefined): number | undefined {
  if (value === undefined) return undefined
  if (value > latest) throw invalid('a time is beyond the year 9999')
  return Number(value)
}

const latest = BigInt(Date.UTC(9999, 11, 31, 23, 59, 59, 999))

function timeText(ms: number | undefined): string {
  return ms === undefined ? '' : new Date(ms).toISOString()
}
