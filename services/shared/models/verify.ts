import { createReadStream } from 'node:fs'
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { GgufError } from '../gguf/gguf-error.ts'
import { readPartsAfter } from '../gguf/model-file.ts'
import { partsAfter } from '../gguf/part-names.ts'
import { isUnpinned, type ModelEntry } from './catalogue.ts'
import { decryptFile } from './decrypt.ts'
import { EncryptedModelError } from './encryption-error.ts'
import { isInParts, partsProblem } from './parts.ts'
import { isEncrypted, notEncryptedInParts, placesOf } from './store.ts'

/**
 * ok: has the catalogue's digest. unpinned: the catalogue has none to compare with. mismatch: another file. unreadable: it can't
 * be read or decrypted. missing: no file of this model is here, or one of its parts is not.
 */
export type VerifyStatus = 'ok' | 'unpinned' | 'mismatch' | 'unreadable' | 'missing'

export interface VerifiedFile {
  id: string
  status: VerifyStatus
  /** Undefined when no file of the model is here. */
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
    if (size !== undefined) found.push(...(await verifyPlace(entry, path, size, options)))
  }
  return found.length > 0 ? found : [{ id: entry.id, status: 'missing', message: 'no file of this model is here' }]
}

/** The file and, of a model in parts, all others beside it: each is told of, so that one knows which to replace. */
async function verifyPlace(entry: ModelEntry, path: string, size: number, options: VerifyOptions): Promise<VerifiedFile[]> {
  if (isEncrypted(path) && isInParts(entry)) return [{ id: entry.id, status: 'unreadable', path, encrypted: true, message: `it ${notEncryptedInParts}` }]
  const first = await verifyFile(entry, path, size, options)
  const problem = partsProblem(entry)
  if (problem !== undefined) return [{ ...first, status: 'mismatch', message: `its entry ${problem}` }]
  const found = [first]
  for (const [index, part] of partsAfter(path).entries()) {
    const { sha256, size: pinnedSize } = entry.parts?.[index] ?? {}
    const { sha256: _, size: __, ...rest } = entry
    const asEntry = { ...rest, ...(sha256 === undefined ? {} : { sha256 }), ...(pinnedSize === undefined ? {} : { size: pinnedSize }) }
    const partSize = await sizeOf(part)
    const missing: VerifiedFile = { id: entry.id, status: 'missing', path: part, message: 'it is a part of the model, and not here' }
    found.push(partSize === undefined ? missing : await verifyFile(asEntry, part, partSize, options))
  }
  return [{ ...first, ...(await headerProblem(entry, first)) }, ...found.slice(1)]
}

/** What is wrong when the first part's own header says of the parts something else than its entry. */
async function headerProblem({ parts }: ModelEntry, { path, status }: VerifiedFile): Promise<Pick<VerifiedFile, 'status' | 'message'> | undefined> {
  if (parts === undefined || path === undefined || status !== 'ok') return undefined
  try {
    return (await readPartsAfter(path)).length === parts.length ? undefined : { status: 'mismatch', message: `it is not the first of ${parts.length + 1} parts, as which the entry names it: it has no others` }
  } catch (thrown) {
    if (thrown instanceof GgufError) return { status: 'unreadable', message: thrown.message }
    throw thrown
  }
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
