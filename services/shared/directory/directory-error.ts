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

/** SQLite's result codes (https://sqlite.org/rescode.html); the lower eight bits are the primary one. */
function describe(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined
  if ('errcode' in thrown && typeof thrown.errcode === 'number') {
    switch (thrown.errcode & 0xff) {
      case 5:
      case 6:
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
  // An error of the file system: EACCES, ENOSPC, …
  return 'syscall' in thrown && 'code' in thrown && typeof thrown.code === 'string' ? `the file system says ${thrown.code}` : undefined
}
