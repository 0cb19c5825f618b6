import { closeSync, constants, openSync } from 'node:fs'
import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { ServiceError } from '../../shared/errors.ts'
import { logFileName, syncFolder } from './files.ts'
import { createHead, type Head } from './head.ts'
import type { LogRecord } from './record.ts'
import { type Intact, scanLog } from './scan.ts'

/** A log that can't be written to, told for the operator. No restart mends it. */
export class LogUnusableError extends Error {
  override readonly name = 'LogUnusableError'
}

export interface Recovered {
  /** The log as it now stands. */
  log: Head
  /** Records after the head that a crash left, kept since they continue the chain. */
  adopted: number
  /** Bytes of a cut record that were dropped. */
  cutBytes: number
}

/** Largest page that a file system caches files in. */
const pageBytes = 65_536

/** The folder, 0700. */
export async function createFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
}

/**
 * Makes the log of a locked folder fit to go on: creates it, or checks the whole of it, cuts a record that a crash tore, and makes the
 * rest durable. Calls `visit` for each record. Throws LogUnusableError when a record was changed, removed or added.
 */
export async function recoverLog(folder: string, visit: (record: LogRecord) => void): Promise<Recovered> {
  const scan = await scanOrCreate(folder, visit)
  // The head comes first, so a crash while they are made leaves no log without one.
  closeSync(openSync(join(folder, logFileName), constants.O_CREAT | constants.O_WRONLY, 0o600))
  syncFolder(folder)
  const { log, head, tornBytes } = scan
  const file = await open(join(folder, logFileName), 'r+')
  try {
    if (tornBytes > 0) await file.truncate(log.bytes)
    await rewrite(file, Math.floor(head.bytes / pageBytes) * pageBytes, log.bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
  return { log, adopted: log.count - head.count, cutBytes: tornBytes }
}

async function scanOrCreate(folder: string, visit: (record: LogRecord) => void): Promise<Intact> {
  try {
    const scan = await scanLog(folder, visit)
    if (scan.ok) return scan
    throw new LogUnusableError(
      `The audit log in ${folder} is broken. ${scan.message} It is not continued, so that the evidence stays as it is: ` +
        'move the folder aside, keep it, and start again to begin a new log.',
    )
  } catch (thrown) {
    if (!(thrown instanceof ServiceError && thrown.reason === 'no_log')) throw thrown
  }
  await createHead(folder)
  return scanOrCreate(folder, visit)
}

/**
 * Writes a file's last bytes over themselves. When a sync has failed, the system counts the pages as clean though the disk never got
 * them, and a later sync would not write them; after this one it does. (https://lwn.net/Articles/752063/)
 */
async function rewrite(file: FileHandle, from: number, to: number): Promise<void> {
  const chunk = Buffer.allocUnsafe(pageBytes)
  for (let position = from; position < to; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(pageBytes, to - position), position)
    if (bytesRead === 0) throw new Error('The log was shortened while it was read.')
    for (let done = 0; done < bytesRead; ) {
      done += (await file.write(chunk, done, bytesRead - done, position + done)).bytesWritten
    }
    position += bytesRead
  }
}
