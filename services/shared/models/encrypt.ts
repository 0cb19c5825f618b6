import { createHash } from 'node:crypto'
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AgeError } from '../age/age-error.ts'
import { encrypted } from '../age/file.ts'
import { EncryptedModelError } from './encryption-error.ts'
import { diskFailure } from './failures.ts'
import { sha256OfFile } from './digest.ts'
import { refuseWithoutSpace } from './download.ts'
import { syncFolder } from './store.ts'

export interface EncryptRequest {
  /** A plain file. */
  from: string
  /** Where the encrypted one comes to be, whole or not at all. What is there is replaced. */
  to: string
  /** age1…; at least one. */
  recipients: readonly string[]
  /** What `from` must hold; not checked when left out. */
  sha256: string | undefined
  onBytes?: ((written: number, total: number) => void) | undefined
  signal: AbortSignal
}

/**
 * Encrypts a file in the age format. It is in place when this resolves: on the disk, read back from it, and made of what had the
 * digest. Returns the SHA-256 of the plaintext. Throws EncryptedModelError, and LocalFailure where the disk is full.
 */
export async function encryptFile({ from, to, recipients, sha256, onBytes, signal }: EncryptRequest): Promise<string> {
  const partial = `${to}.partial`
  try {
    await mkdir(dirname(to), { recursive: true, mode: 0o700 })
    const { plain, sealed } = await writeEncrypted(from, partial, recipients, onBytes, signal)
    if (sha256 !== undefined && plain !== sha256) {
      throw new EncryptedModelError(`${from} has the SHA-256 ${plain} instead of ${sha256}: it was not encrypted.`)
    }
    if ((await sha256OfFile(partial, signal)) !== sealed) {
      throw new EncryptedModelError(`What was written to ${to} reads back as something else: its disk is at fault.`)
    }
    await rename(partial, to)
    await syncFolder(dirname(to))
    return plain
  } catch (thrown) {
    await rm(partial, { force: true }).catch(() => undefined)
    if (thrown instanceof AgeError) throw new EncryptedModelError(`${from} can't be encrypted: ${thrown.message}.`)
    throw diskFailure(thrown, dirname(to))
  }
}

async function writeEncrypted(
  from: string,
  to: string,
  recipients: readonly string[],
  onBytes: EncryptRequest['onBytes'],
  signal: AbortSignal,
): Promise<{ plain: string; sealed: string }> {
  const [plain, sealed] = [createHash('sha256'), createHash('sha256')]
  const input = await open(from, 'r')
  try {
    const { size } = await input.stat()
    await refuseWithoutSpace(dirname(to), size)
    const output = await open(to, 'w', 0o600)
    try {
      await chmod(to, 0o600)
      const source = {
        stat: async () => await Promise.resolve({ size }),
        // Asked for once each, in order: the digest is of the very bytes that were encrypted.
        read: async (buffer: Buffer, offset: number, length: number, position: number) => {
          const { bytesRead } = await input.read(buffer, offset, length, position)
          plain.update(buffer.subarray(offset, offset + bytesRead))
          onBytes?.(position + bytesRead, size)
          return { bytesRead }
        },
      }
      for await (const bytes of encrypted(source, recipients, signal)) {
        sealed.update(bytes)
        await output.writeFile(bytes)
      }
      await output.sync()
    } finally {
      await output.close()
    }
  } finally {
    await input.close()
  }
  return { plain: plain.digest('hex'), sealed: sealed.digest('hex') }
}
