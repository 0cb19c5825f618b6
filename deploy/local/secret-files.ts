import { chmod, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Text of a file; undefined when there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

/**
 * Replaces a file in one step and durably: readers, and whoever comes after a crash, find the old text or the new one. One writer
 * at a time; what a crash left of an earlier try is overwritten by the next.
 */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.new`
  const handle = await open(temporary, 'w', mode)
  try {
    await handle.chmod(mode) // open's mode is for new files, less the umask
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await moveFile(temporary, file)
}

/** Renames durably, over the target if there is one. */
export async function moveFile(from: string, to: string): Promise<void> {
  await rename(from, to)
  if (process.platform === 'win32') return // folders can't be synced there
  const folder = await open(dirname(to), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Takes other users' access to a file away, if it has any. Windows has no such bits. */
export async function restrictToOwner(file: string): Promise<void> {
  if (process.platform === 'win32') return
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0) await chmod(file, mode & 0o700)
}
