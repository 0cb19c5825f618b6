import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { DirectoryError } from '../../shared/directory/directory-error.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { readSkey } from '../tlog/note-key.ts'

/**
 * Seals the directory for its row in the database: AES-256-GCM (NIST SP 800-38D) under a key that is derived by HKDF-SHA256 (RFC 5869)
 * from the one that signs the log. So who can read the database learns no name of a team and can confirm no guess of a key, and who can
 * write it can't let anybody in. A sealed text is of one version of the row and of no other.
 */
export interface Seal {
  close(image: Uint8Array, version: number): Buffer
  /** Throws DirectoryError for anything but what close() gave for this version. */
  open(sealed: Uint8Array, version: number): Buffer
}

const context = 'intramuros directory v1'
/** At the beginning of what is sealed, never the same. */
export const nonceBytes = 12
const tagBytes = 16

/** Throws DirectoryError when there is no such key. */
export async function openSeal(keyFile: string): Promise<Seal> {
  const { name, secret } = await readLogKey(keyFile)
  const key = Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), context, 32))
  const bound = (version: number): Buffer => Buffer.from(`${context}\n${name}\n${version}\n`)
  return {
    close(image, version) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(bound(version))
      return Buffer.concat([nonce, cipher.update(image), cipher.final(), cipher.getAuthTag()])
    },
    open(sealed, version) {
      const text = sealed.subarray(nonceBytes, -tagBytes)
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes }).setAAD(bound(version)).setAuthTag(sealed.subarray(-tagBytes))
        return Buffer.concat([decipher.update(text), decipher.final()])
      } catch {
        throw new DirectoryError(`The teams and keys in the database were changed by somebody who has not the key of the log, or sealed with another key than ${keyFile}: restore them, or that key, from a backup.`)
      }
    },
  }
}

async function readLogKey(file: string): Promise<{ name: string; secret: Buffer }> {
  try {
    const { name, secret } = readSkey((await readFile(file, 'utf8')).trim(), 'ed25519')
    return { name, secret: secret.export({ format: 'raw-private' }) }
  } catch (thrown) {
    if (thrown instanceof MalformedError) throw new DirectoryError(`${file} holds no key of a log: ${thrown.message}.`)
    if (thrown instanceof Error && 'syscall' in thrown && 'code' in thrown) throw new DirectoryError(`${file}, the key of the log, which teams and keys in the database are sealed with, can't be read (${String(thrown.code)}).`)
    throw thrown
  }
}
