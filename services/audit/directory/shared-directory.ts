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
import { askAnew, isToBeMadeAnew, markOf, readMark, readRow } from './directory-row.ts'
import { directoryName, openRow, replaceInPostgres } from './in-postgres.ts'
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
  await makeOrMigrate({ place, home, recorded, log })
  const { run, close } = connections(await clientConfig(place.settings, { ...postgresTiming, ...place.timing }), placeOf(place.settings.address), 1, checkServer)
  let current: { mark: string | undefined; directory: Directory }
  let version = 1
  /** Of an image that was refused: it is not fetched again. */
  let refused: string | undefined
  let troubled = ''
  try {
    current = await read(recorded)
  } catch (thrown) {
    await close()
    throw thrown
  }

  /** Throws DirectoryError for one that lacks this change. */
  async function read(change: number): Promise<{ mark: string | undefined; directory: Directory }> {
    const row = await readRow(run, { lock: false })
    const mark = row && markOf(row)
    refused = mark
    const directory = openRow(row, seal)
    try {
      requireNewest(directory, change)
    } catch (thrown) {
      directory.close()
      throw thrown
    }
    refused = undefined
    return { mark, directory }
  }

  /** While it can't be read, or is older than what was there, what is known counts on. */
  async function follow(): Promise<void> {
    try {
      const mark = await readMark(run)
      if (mark !== undefined && mark === refused) return
      if (mark !== current.mark) {
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
    } finally {
      if (!closed) timer = setTimeout(() => void follow(), intervalMs)
    }
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
 * Where there is none, it is made: taken over from files of this service, or new where the log has none either. One of an older version is brought up to date.
 * Only the service that writes the log gets here. Throws DirectoryError, and PostgresError.
 */
async function makeOrMigrate({ place, home, recorded, log }: Omit<SharedDirectoryOptions, 'intervalMs'>): Promise<void> {
  const files = ['directory.sqlite', 'directory.key'].map((name) => join(home, name)).filter((file) => existsSync(file))
  const found = await replaceInPostgres(place, (row, seal) => {
    const directory = row === undefined ? begin() : isToBeMadeAnew(row) ? makeAnew() : openRow(row, seal, { mayMigrate: true })
    try {
      if (row !== undefined && !isToBeMadeAnew(row)) requireNewest(directory, recorded)
      ensureFirstTeam(directory)
      const image = directory.image()
      const isAsItWas = row !== undefined && !isToBeMadeAnew(row) && image.equals(seal.open(row.image, row.version))
      return { result: row === undefined ? 'made' : 'there', image: isAsItWas ? undefined : image }
    } finally {
      directory.close()
    }
  })
  if (files.length === 0) return
  // What is changed there no longer counts, and nobody is to believe that it does.
  for (const file of files) await rename(file, `${file}.moved`)
  const text = found === 'made' ? 'teams and keys are in the database now' : 'teams and keys are those of the database, not those of the files here'
  log.info({ files }, `${text}; the files are renamed to ….moved`)

  function begin(): Directory {
    if (existsSync(join(home, 'directory.sqlite'))) {
      const directory = openDirectory({ home })
      if (goesOnFrom(directory, recorded)) return directory
      directory.close()
      throw new DirectoryError(`directory.sqlite in ${home} lacks changes of teams and keys that the log has: start the audit service first that has the newest. ${orAnew}`)
    }
    if (recorded > 0) throw new DirectoryError(`The log has changes of teams and keys, but there are none in the database, and no directory.sqlite in ${home}: start the audit service first that has it, or restore the table intramuros_audit.directory. ${orAnew}`)
    return openDirectoryImage(undefined, { name: directoryName, mayMigrate: false })
  }

  function makeAnew(): Directory {
    log.warn({}, 'a directory of teams and keys was asked for that begins without any keys')
    // Its first change is newer than all that the log has, also by a clock that was set back.
    return openDirectoryImage(undefined, { name: directoryName, mayMigrate: false, now: () => new Date(Math.max(Date.now(), recorded + 1)) })
  }
}

const orAnew = `Or, to begin without any keys: ${askAnew}; and start it again.`

function requireNewest(directory: Directory, change: number): void {
  if (goesOnFrom(directory, change)) return
  throw new DirectoryError(`The teams and keys in the database are an old copy: the log has changes that they lack, so keys that were revoked may be among them. Restore the newest copy. ${orAnew}`)
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
