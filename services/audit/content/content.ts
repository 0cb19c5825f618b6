import type { KeepContentRequest } from '../../../proto/gen/intramuros/v1/audit.ts'
import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { ServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import type { EntryOf } from '../records/record.ts'
import { type ContentFiles, DamagedContentError, openContentFiles, type Shelf } from './content-files.ts'
import { validPiece } from './validate-content.ts'

export interface ContentOptions {
  /** Empty: no content is kept. */
  folder: string
  /** How long it is kept. */
  days: number
  /** Longest wait for a disk, in milliseconds. */
  timeoutMs: number
  /** Resolves with the record's place once it is durable. */
  append: (entry: EntryOf<'content.kept' | 'content.erased'>) => Promise<number>
  /** Milliseconds since 1970. */
  clock: () => number
  log: Logger
}

/** Content that teams have kept: ciphertext, whose keys this service never has. */
export interface Content {
  /** As audit.proto says; resolves with the record's place after the last piece of a part. */
  keep(request: KeepContentRequest): Promise<number | undefined>
  /** The pieces of a request. Throws NOT_FOUND content_not_found, UNAVAILABLE content_unavailable. */
  read(team: string, requestId: string): AsyncGenerator<SealedPiece, void, undefined>
  /** Deletes what was kept under a key, behind its record. What can't be deleted now is with the next clean(). Never throws. */
  keyDestroyed(team: string, keyId: string): Promise<void>
  /** Deletes what has been kept long enough, behind its record. Never throws. */
  clean(): Promise<void>
}

const dayMs = 86_400_000

export function createContent({ folder, days, timeoutMs, append, clock, log }: ContentOptions): Content {
  const files: ContentFiles | undefined = folder === '' ? undefined : openContentFiles(folder)
  let troubled = false
  if (files === undefined) log.warn({}, 'no content can be kept, and requests of teams that want it kept are refused: with audit.postgres.url, set audit.contentFolder to a volume that all audit processes share')

  function requireFiles(): ContentFiles {
    if (files !== undefined) return files
    throw unavailable('No content can be kept: the log is in PostgreSQL, and audit.contentFolder is not set.')
  }

  /** What the disk does, in time. */
  async function onDisk<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error('the disk takes too long')), timeoutMs)))
    try {
      const result = await Promise.race([work, late])
      troubled = false
      return result
    } catch (thrown) {
      if (thrown instanceof DamagedContentError) throw new ServiceError('INTERNAL', 'content_damaged', `The kept content is damaged. ${thrown.message}`)
      if (!troubled) log.error({ err: describeError(thrown) }, 'content could not be kept or read: requests of teams that want it kept are refused')
      troubled = true
      throw unavailable('The content of the request could not be kept.', thrown)
    } finally {
      clearTimeout(timer)
    }
  }

  async function erase(shelf: Shelf, reason: EntryOf<'content.erased'>['reason'], gone: readonly string[]): Promise<void> {
    const items = await requireFiles().count(shelf, gone)
    if (items > 0) {
      await append({ type: 'content.erased', team: teamOf(shelf.teamId), key: shelf.keyId, reason, items })
      log.info({ team: teamOf(shelf.teamId), key: shelf.keyId, reason, items }, 'kept content is deleted')
    }
    await requireFiles().remove(shelf, reason === 'key_destroyed' ? 'all' : gone)
  }

  /** One shelf that can't be cleaned is no reason to leave the others. */
  async function attempt(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (thrown) {
      log.error({ err: describeError(thrown) }, 'kept content could not be deleted yet')
    }
  }

  async function cleanAll(): Promise<void> {
    for (const shelf of (await files?.shelves()) ?? []) {
      if (shelf.discarded) await attempt(erase(shelf, 'key_destroyed', shelf.days))
      else {
        const old = shelf.days.filter((day) => Date.parse(day) + (days + 1) * dayMs <= clock())
        if (old.length > 0) await attempt(erase(shelf, 'expired', old))
      }
    }
  }

  async function discard(team: string, keyId: string): Promise<void> {
    for (const shelf of (await files?.shelves()) ?? []) {
      if (shelf.keyId !== keyId || teamOf(shelf.teamId) !== team) continue
      const discarded = shelf.discarded ? shelf : await requireFiles().discard(shelf)
      await erase(discarded, 'key_destroyed', shelf.days)
    }
  }

  return {
    async keep(request) {
      const { piece, kept } = validPiece(request)
      // It is deleted by its day, which the gateway's clock tells.
      if (!(Math.abs(Date.parse(piece.day) + dayMs / 2 - clock()) <= 1.5 * dayMs)) throw unavailable('The clock of the gateway is far from that of the ledger.')
      await onDisk(requireFiles().append(piece))
      if (kept === undefined) return undefined
      const { requestId, teamId, keyId: key, sequence } = piece
      const part = piece.part === ContentPart.PROMPT ? 'prompt' : 'answer'
      return append({ type: 'content.kept', requestId, team: teamOf(teamId), key, part, pieces: sequence + 1, ...kept })
    },
    async *read(team, requestId) {
      const pieces = requireFiles().read(team, requestId)
      let found = false
      try {
        for (;;) {
          const { done, value } = await onDisk(pieces.next())
          if (done === true) break
          found = true
          yield value
        }
      } finally {
        await pieces.return()
      }
      if (!found) throw new ServiceError('NOT_FOUND', 'content_not_found', 'Nothing is kept of such a request of this team.')
    },
    keyDestroyed: (team, keyId) => attempt(discard(team, keyId)),
    clean: () => attempt(cleanAll()),
  }
}

/** "hr" of "hr@mbxk2w40". */
function teamOf(teamId: string): string {
  return teamId.slice(0, teamId.indexOf('@'))
}

function unavailable(message: string, cause?: unknown): ServiceError {
  return new ServiceError('UNAVAILABLE', 'content_unavailable', message, { retryAfterMs: 2000, ...(cause === undefined ? {} : { cause }) })
}
