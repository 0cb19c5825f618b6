import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { EncryptedModelError } from './encryption-error.ts'
import { syncFolder } from './store.ts'

/** Writes a new secret key to a file of its own, durably, for this user's eyes. Throws EncryptedModelError when the file is there. */
export async function createKeyFile(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await syncFolder(dirname(path))
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'
    const why = code === 'EEXIST' ? 'is there already: a key is never overwritten' : `can't be written (${code})`
    throw new EncryptedModelError(`The key file ${path} ${why}.`)
  }
}
