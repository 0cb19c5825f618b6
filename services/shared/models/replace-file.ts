import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder } from './store.ts'

/** Replaces the content of a file, which keeps its mode: after a crash the old one or the new one is there. Throws as the file system does. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const { mode } = await stat(path)
  const partial = `${path}.${process.pid}.partial`
  try {
    const file = await open(partial, 'wx', mode & 0o777)
    try {
      await file.writeFile(text)
      await file.chmod(mode & 0o777)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (thrown) {
    await rm(partial, { force: true })
    throw thrown
  }
  await syncFolder(dirname(path))
}
