import { DirectoryError } from '../../shared/directory/directory-error.ts'
import { type Directory, openDirectoryImage } from '../../shared/directory/directory.ts'
import { clientConfig, connect, disconnect, placeOf, type Run, runOn } from '../store/postgres/connection.ts'
import { PostgresError } from '../store/postgres/postgres-error.ts'
import { checkServer } from '../store/postgres/server-check.ts'
import { postgresTiming } from '../store/postgres/timing.ts'
import { type DirectoryRow, insertRow, isToBeMadeAnew, readRow, updateRow } from './directory-row.ts'
import type { DirectoryPlace } from './place.ts'
import { openSeal, type Seal } from './seal.ts'

/** What errors call it by. */
export const directoryName = 'the directory of teams and keys in PostgreSQL'

/** Runs `body` on the directory as it stands. What body would change is lost. Throws DirectoryError. */
export async function readInPostgres<T>(place: DirectoryPlace, body: (directory: Directory) => T): Promise<T> {
  const seal = await openSeal(place.keyFile)
  const row = await asDirectoryErrors(() => onConnection(place, (run) => readRow(run, { lock: false })))
  const directory = openRow(row, seal)
  try {
    return body(directory)
  } finally {
    directory.close()
  }
}

/** Runs `body` on the directory while nobody else changes it. What it changed is durable when this resolves. Throws DirectoryError. */
export async function changeInPostgres<T>(place: DirectoryPlace, body: (directory: Directory) => T): Promise<T> {
  return await asDirectoryErrors(() =>
    replaceInPostgres(place, (row, seal) => {
      // One of an older version is for the service to bring up to date: another one that still writes could not read it then.
      const directory = openRow(row, seal)
      try {
        const before = directory.lastChange()
        const result = body(directory)
        return { result, image: directory.lastChange() === before ? undefined : directory.image() }
      } finally {
        directory.close()
      }
    }),
  )
}

/** Replaces the image by what `body` makes of the row, if anything. Throws DirectoryError, and PostgresError. */
export async function replaceInPostgres<T>(place: DirectoryPlace, body: (row: DirectoryRow | undefined, seal: Seal) => { result: T; image: Buffer | undefined }): Promise<T> {
  const seal = await openSeal(place.keyFile)
  return await onConnection(place, async (run) => {
    // A server that confirms what is not on its disk would let in a key again that was revoked.
    await checkServer(run)
    await run({ what: 'beginning a change of teams and keys', text: 'BEGIN' })
    const row = await readRow(run, { lock: true })
    const { result, image } = body(row, seal)
    const version = (row?.version ?? 0) + 1
    if (image !== undefined) await (row === undefined ? insertRow : updateRow)(run, { version, image: seal.close(image, version) })
    await run({ what: 'changing teams and keys, which may have been done: teams list and keys list tell', text: 'COMMIT' })
    return result
  })
}

/** Throws DirectoryError. */
export function openRow(row: DirectoryRow | undefined, seal: Seal, { mayMigrate = false } = {}): Directory {
  if (row === undefined || isToBeMadeAnew(row)) throw new DirectoryError('There are no teams and keys in the database yet: the audit service that writes the log makes them when it starts.')
  return openDirectoryImage(seal.open(row.image, row.version), { name: directoryName, mayMigrate })
}

/** On a connection of its own, which ends with it, and so does a transaction that was not committed. */
async function onConnection<T>({ settings, timing }: DirectoryPlace, use: (run: Run) => Promise<T>): Promise<T> {
  const client = await connect(await clientConfig(settings, { ...postgresTiming, ...timing }), placeOf(settings.address))
  try {
    return await use(runOn(client))
  } finally {
    await disconnect(client)
  }
}

async function asDirectoryErrors<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (thrown) {
    throw thrown instanceof PostgresError ? new DirectoryError(thrown.message, { cause: thrown }) : thrown
  }
}
