import { type Directory, openDirectory } from '../../shared/directory/directory.ts'
import type { DirectoryPlace } from './place.ts'

/** Where the directory of teams and keys is. */
export interface DirectorySource {
  /** State folder; the directory is in it, unless there is a place. */
  home: string
  place: DirectoryPlace | undefined
}

/** Asks the directory. Throws DirectoryError. */
export async function askDirectory<T>({ home, place }: DirectorySource, body: (directory: Directory) => T): Promise<T> {
  if (place === undefined) return inFiles(home, true, body)
  const { readInPostgres } = await import('./in-postgres.ts')
  return await readInPostgres(place, body)
}

/** Changes it: durably, when this resolves, and not before, so what body answers with is to be told only then. Throws DirectoryError. */
export async function changeDirectory<T>({ home, place }: DirectorySource, body: (directory: Directory) => T): Promise<T> {
  if (place === undefined) return inFiles(home, false, body)
  const { changeInPostgres } = await import('./in-postgres.ts')
  return await changeInPostgres(place, body)
}

function inFiles<T>(home: string, readOnly: boolean, body: (directory: Directory) => T): T {
  // A mistyped state folder must not become a new platform's.
  const directory = openDirectory({ home, readOnly, create: false })
  try {
    return body(directory)
  } finally {
    directory.close()
  }
}
