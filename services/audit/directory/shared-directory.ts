import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { DirectoryError } from '../../shared/directory/directory-error.ts'
import { type Directory, openDirectory, openDirectoryImage } from '../../shared/directory/directory.ts'
import { ensureFirstTeam } from '../../shared/directory/first-team.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import { clientConfig, connections, placeOf } from '../store/postgres/connection.ts'
import { PostgresError } from '../store/postgres/postgres-error.ts'
import { checkServer } from '../store/postgres/server-check.ts'
import { postgresTiming } from '../store/postgres/timing.ts'
import { markOf, readMark, readRow, writeRow } from './directory-row.ts'
import { directoryName, openRow } from './in-postgres.ts'
import type { DirectoryPlace } from './place.ts'
import { openSeal } from './seal.ts'

export interface SharedDirectoryOptions {
  place: DirectoryPlace
  /** State folder: a directory of its own that this service had before is taken over from there. */
  home: string
  /** Id of the newest change that the log has, 0 for none: a directory that does not go on from it is an old copy. */
  recorded: number
  log: Logger
  /** How often is looked whether it was changed, in milliseconds. */
  intervalMs?: number
}

/** What a service needs of the directory. */
export type SharedDirectory = Pick<Directory, 'terms' | 'version' | 'changesAfter' | 'close'>

/**
 * The directory of a log that several audit services share, followed by the one that writes the log; made, when there is none, by that one. Throws
 * DirectoryError, and PostgresError.
 */
export async function openSharedDirectory({ place, home, recorded, log, intervalMs = 250 }: SharedDirectoryOptions): Promise<SharedDirectory> {
  const seal = await openSeal(place.keyFile)
  const { run, close } = connections(await clientConfig(place.settings, { ...postgresTiming, ...place.timing }), placeOf(place.settings.address), 1, checkServer)
  let current: { mark: string; directory: Directory }
  let version = 1
  let troubled = ''
  try {
    if ((await readMark(run)) === undefined) await make()
    current = await read(recorded)
  } catch (thrown) {
    await close()
    throw thrown
  }

  /** Nobody else does: only the service that writes the log gets here. */
  async function make(): Promise<void> {
    const own = existsSync(join(home, 'directory.sqlite'))
    // Its first change is newer than all that the log has, also by a clock that was set back.
    const directory = own ? openDirectory({ home }) : openDirectoryImage(undefined, directoryName, () => new Date(Math.max(Date.now(), recorded + 1)))
    try {
      if (own && !goesOnFrom(directory, recorded)) {
        throw new DirectoryError(`directory.sqlite in ${home} is older than the changes of teams and keys that the log has: begin with the audit service that has the newest, or move directory.sqlite and directory.key aside to begin without any keys.`)
      }
      if (!own && recorded > 0) log.warn({}, 'the log has changes of teams and keys, but they are not in the database: it begins without any keys')
      ensureFirstTeam(directory)
      await writeRow(run, { version: 1, image: seal.close(directory.image(), 1) })
    } finally {
      directory.close()
    }
    if (!own) return
    // What is changed there no longer counts, and nobody is to believe that it does.
    for (const name of ['directory.sqlite', 'directory.key']) await rename(join(home, name), join(home, `${name}.moved`))
    log.info({}, 'teams and keys are in the database now; the files that they were in are directory.sqlite.moved and directory.key.moved')
  }

  /** Throws DirectoryError for one that lacks this change. */
  async function read(change: number): Promise<{ mark: string; directory: Directory }> {
    const row = await readRow(run, { lock: false })
    const directory = openRow(row, seal)
    if (!goesOnFrom(directory, change)) {
      directory.close()
      throw new DirectoryError('The teams and keys in the database are an old copy: the log has changes that they lack, so keys that were revoked may be among them. Restore the newest copy; or, to begin without any keys, DELETE FROM intramuros_audit.directory.')
    }
    return { mark: row === undefined ? '' : markOf(row), directory }
  }

  /** While it can't be read, or is older than what was there, what is known counts on. */
  async function follow(): Promise<void> {
    try {
      if ((await readMark(run)) !== current.mark) {
        const before = current.directory
        current = await read(before.lastChange())
        version += 1
        before.close()
      }
      troubled = ''
    } catch (thrown) {
      const reason = thrown instanceof DirectoryError || thrown instanceof PostgresError ? thrown.message : 'an error that nobody expected'
      if (reason !== troubled && !closed) log.error({ reason, err: describeError(thrown) }, 'teams and keys could not be read from the database: changes of them do not count yet')
      troubled = reason
    }
    if (!closed) timer = setTimeout(() => void follow(), intervalMs)
  }

  let closed = false
  let timer = setTimeout(() => void follow(), intervalMs)
  return {
    terms: () => current.directory.terms(),
    version: () => version,
    changesAfter: (id, limit) => current.directory.changesAfter(id, limit),
    close() {
      closed = true
      clearTimeout(timer)
      void close()
      current.directory.close()
    },
  }
}

/**
 * Whether a directory has this change, or was begun after it, as one that was made anew: else it is a copy from before it. Being newer is not enough: an
 * old copy may have been changed since.
 */
function goesOnFrom(directory: Directory, change: number): boolean {
  if (change === 0) return true
  const [[first], [found]] = [directory.changesAfter(0, 1), directory.changesAfter(change - 1, 1)]
  return first !== undefined && (first.id > change || found?.id === change)
}
