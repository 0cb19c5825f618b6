/** A refusal or failure of the directory, with a text for the person at the command line. Never holds a key. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError'
}

/** Runs `body`; what SQLite or the file system throws in it comes out as a DirectoryError that names the file. */
export function withDirectoryErrors<T>(file: string, body: () => T): T {
  try {
    return body()
  } catch (thrown) {
    if (thrown instanceof DirectoryError) throw thrown
    const problem = describe(thrown)
    if (problem === undefined) throw thrown
    throw new DirectoryError(`${file}: ${problem}`, { cause: thrown })
  }
}

export const sqliteBusy = 5

/** SQLite's primary result code (https://sqlite.org/rescode.html), the lower eight bits; undefined for other errors. */
export function sqliteCode(thrown: unknown): number | undefined {
  return thrown instanceof Error && 'errcode' in thrown && typeof thrown.errcode === 'number' ? thrown.errcode & 0xff : undefined
}

function describe(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined
  switch (sqliteCode(thrown)) {
    case undefined:
      // Perhaps an error of the file system: EACCES, ENOSPC, …
      return 'syscall' in thrown && 'code' in thrown ? `the file system says ${String(thrown.code)}` : undefined
    case sqliteBusy:
      return 'another process is writing to it; try again in a moment'
    case 8:
      return 'it can only be read, not written'
    case 11:
    case 26:
      return 'the file is damaged or no database; restore it from a backup'
    case 13:
      return 'the disk is full'
    case 14:
      return 'it cannot be opened; check who may read and write it and its folder'
    default:
      return 'errstr' in thrown && typeof thrown.errstr === 'string' ? thrown.errstr : 'SQLite failed'
  }
}
