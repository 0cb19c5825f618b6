import { createReadStream } from 'node:fs'
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { isUnpinned, type ModelEntry } from './catalogue.ts'
import { decryptFile } from './decrypt.ts'
import { EncryptedModelError } from './encryption-error.ts'
import { isEncrypted, placesOf } from './store.ts'

/**
 * ok: has the catalogue's digest. unpinned: the catalogue has none to compare with. mismatch: another file. unreadable: it can't
 * be read or decrypted. missing: no file of this model is here.
 */
export type VerifyStatus = 'ok' | 'unpinned' | 'mismatch' | 'unreadable' | 'missing'

export interface VerifiedFile {
  id: string
  status: VerifyStatus
  /** Undefined when missing. */
  path?: string
  encrypted?: boolean
  /** Of the plaintext, in bytes. */
  size?: number
  /** Of the plaintext, as found. */
  sha256?: string
  /** What the catalogue names. */
  pinned?: string
  /** Why it is not ok, for people. */
  message?: string
}

export interface VerifyOptions {
  home: string
  /** Called when the first encrypted file is met. Throws EncryptedModelError. */
  readKey: () => Promise<readonly string[]>
  onBytes?: ((path: string, done: number, total: number) => void) | undefined
  signal: AbortSignal
}

/**
 * Reads each file of a model that is here to its end and compares its digest with the catalogue's: nothing that was noted at an earlier
 * check is believed, and nothing is noted. Encrypted files are decrypted piece by piece, and go nowhere.
 */
export async function verifyModel(entry: ModelEntry, options: VerifyOptions): Promise<VerifiedFile[]> {
  const found: VerifiedFile[] = []
  for (const path of placesOf(entry, options.home)) {
    const size = await sizeOf(path)
    if (size !== undefined) found.push(await verifyFile(entry, path, size, options))
  }
  return found.length > 0 ? found : [{ id: entry.id, status: 'missing', message: 'no file of this model is here' }]
}

async function verifyFile(entry: ModelEntry, path: string, fileSize: number, options: VerifyOptions): Promise<VerifiedFile> {
  const { id, sha256: pinned } = entry
  const about = { id, path, encrypted: isEncrypted(path), ...(pinned === undefined ? {} : { pinned }) }
  try {
    const { size, sha256 } = await digest(path, fileSize, options)
    const told = { ...about, size, sha256 }
    if (pinned === undefined) {
      return { ...told, status: 'unpinned', message: `the catalogue names no SHA-256${isUnpinned(entry) ? ', so that it is not served' : ''}` }
    }
    if (sha256 !== pinned) return { ...told, status: 'mismatch', message: `it has the SHA-256 ${sha256} instead of ${pinned}` }
    if (entry.size !== undefined && size !== entry.size) {
      return { ...told, status: 'mismatch', message: `it has ${size} bytes, and the catalogue says ${entry.size}` }
    }
    return { ...told, status: 'ok' }
  } catch (thrown) {
    options.signal.throwIfAborted()
    if (thrown instanceof EncryptedModelError) return { ...about, status: 'unreadable', message: thrown.message }
    if (thrown instanceof Error && 'code' in thrown) return { ...about, status: 'unreadable', message: `it can't be read (${String(thrown.code)})` }
    throw thrown
  }
}

async function digest(path: string, size: number, { readKey, onBytes, signal }: VerifyOptions): Promise<{ size: number; sha256: string }> {
  let done = 0
  const tell = (bytes: Buffer, total: number): void => {
    done += bytes.length
    onBytes?.(path, done, total)
  }
  if (isEncrypted(path)) {
    const identities = await readKey()
    let total = 0
    const sink = { begin: (plain: number): void => void (total = plain), piece: (bytes: Buffer) => tell(bytes, total) }
    return await decryptFile(path, identities, sink, signal)
  }
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20, signal }) as AsyncIterable<Buffer>) {
    hash.update(bytes)
    tell(bytes, size)
  }
  return { size: done, sha256: hash.digest('hex') }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    // There, but out of reach: what reads it says why.
    return 0
  }
}
