import { parentPort, workerData } from 'node:worker_threads'
import type { StoreTrouble } from '../store.ts'
import { createArchive } from './archive.ts'
import { DatabaseUnusableError, openDatabase } from './database.ts'
import { CommitError, createWriter } from './writer.ts'

/**
 * SQLite and the files' syncs are synchronous, and a disk may hang: they have threads of their own, one that commits and one for all the
 * rest, so that moving out and reading do not hold up a commit.
 */
export type Role = 'writer' | 'archive'
export type Operations = { writer: ReturnType<typeof createWriter>; archive: ReturnType<typeof createArchive> }

export interface ThreadRequest {
  id: number
  operation: string
  argument: unknown
}

/** `id` -1: it has started, or could not. */
export interface ThreadAnswer {
  id: number
  value?: unknown
  failed?: { message: string; stored: 'no' | 'unknown'; trouble: StoreTrouble; unusable: boolean }
}

if (parentPort !== null) serve(parentPort, workerData as { folder: string; role: Role })

function serve(port: NonNullable<typeof parentPort>, { folder, role }: { folder: string; role: Role }): void {
  const answer = (id: number, run: () => unknown): void => {
    try {
      port.postMessage({ id, value: run() } satisfies ThreadAnswer)
    } catch (thrown) {
      port.postMessage({ id, failed: failureOf(thrown) } satisfies ThreadAnswer)
    }
  }
  answer(-1, () => {
    const database = openDatabase(folder)
    const operations = (role === 'writer' ? createWriter(database) : createArchive(folder, database)) as unknown as Record<string, (argument: unknown) => unknown>
    port.on('message', (request: ThreadRequest | 'close') => {
      if (request === 'close') {
        database.close()
        port.close()
        return
      }
      answer(request.id, () => operations[request.operation]?.(request.argument))
    })
  })
}

/** The text of SQLite's and the system's errors, which hold nothing of an entry. */
function failureOf(thrown: unknown): NonNullable<ThreadAnswer['failed']> {
  const cause = thrown instanceof CommitError ? thrown.cause : thrown
  const message = cause instanceof Error ? cause.message : 'something that is no error was thrown'
  return { message, stored: thrown instanceof CommitError ? 'unknown' : 'no', trouble: troubleOf(cause), unusable: isUnusable(cause) }
}

const sqlite = { readOnly: 8, ioError: 10, corrupt: 11, full: 13, notADatabase: 26 }

function troubleOf(cause: unknown): StoreTrouble {
  const primary = sqliteCode(cause)
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (primary === sqlite.full || code === 'ENOSPC' || code === 'EDQUOT') return 'disk_full'
  if (primary === sqlite.readOnly || code === 'EROFS') return 'read_only'
  if (primary === sqlite.ioError || code === 'EIO') return 'io_error'
  return 'unknown'
}

function isUnusable(cause: unknown): boolean {
  const primary = sqliteCode(cause)
  return cause instanceof DatabaseUnusableError || primary === sqlite.corrupt || primary === sqlite.notADatabase
}

function sqliteCode(cause: unknown): number | undefined {
  return cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined
}
