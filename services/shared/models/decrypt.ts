import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { AgeError } from '../age/age-error.ts'
import { openAge } from '../age/file.ts'
import { EncryptedModelError } from './encryption-error.ts'
import type { FileDigest } from './store.ts'

/** Told the size of the plaintext before its first piece. */
export interface PlaintextSink {
  begin?(size: number): Promise<void> | void
  /** The bytes are to be used or copied before it returns or resolves. */
  piece?(bytes: Buffer): Promise<void> | void
}

/**
 * Decrypts a model's file piece by piece to the sink, and returns size and SHA-256 of the plaintext. What the sink got is all
 * of it only when this resolves. Throws EncryptedModelError, and what the sink throws.
 */
export async function decryptFile(path: string, identities: readonly string[], sink: PlaintextSink, signal: AbortSignal): Promise<FileDigest> {
  const hash = createHash('sha256')
  const file = await openFile(path)
  try {
    const { size, content } = await openAge(file, identities)
    await sink.begin?.(size)
    for await (const bytes of content(signal)) {
      hash.update(bytes)
      await sink.piece?.(bytes)
    }
    return { size, sha256: hash.digest('hex') }
  } catch (thrown) {
    if (thrown instanceof AgeError) throw new EncryptedModelError(`${path} can't be decrypted: ${thrown.message}.${advice(thrown)}`)
    throw thrown
  } finally {
    await file.close()
  }
}

/** Throws an EncryptedModelError unless this is the digest that the catalogue names. */
export function requireDigest(path: string, found: string, pinned: string | undefined): void {
  if (pinned === undefined || found === pinned) return
  throw new EncryptedModelError(
    `${path} holds another model than the catalogue names: decrypted, it has the SHA-256 ${found} instead of ${pinned}. Replace the file.`,
  )
}

async function openFile(path: string): ReturnType<typeof open> {
  try {
    return await open(path, 'r')
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'
    throw new EncryptedModelError(`${path} can't be read (${code}).`)
  }
}

function advice({ reason }: AgeError): string {
  if (reason === 'no_matching_key') return ' Set modelEncryption to the key that it was encrypted for, or encrypt it for this one.'
  if (reason === 'bad_identity') return ''
  return ' Replace the file.'
}
