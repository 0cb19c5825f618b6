import { createHmac, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DirectoryError } from './directory-error.ts'

export const keyBytes = 32

/** HMAC-SHA256 of an API key: all that is stored of it. Without `directory.key` a copy of the database confirms no guess. */
export function hmacOf(hmacKey: Uint8Array, secret: string): Buffer {
  return createHmac('sha256', hmacKey).update(secret).digest()
}

/** A value that tells whether a database and a key file belong together, and gives nothing of the key away. */
export function checkValueOf(hmacKey: Uint8Array): Buffer {
  // No API key has this text: it lacks the prefix.
  return hmacOf(hmacKey, 'intramuros directory key check 1')
}

export function newHmacKey(): Buffer {
  return randomBytes(keyBytes)
}

export function readHmacKey(file: string): Buffer {
  const key = readIfThere(file)
  if (key?.length === keyBytes) return key
  const what = key === undefined ? 'is missing' : `holds ${key.length} bytes instead of ${keyBytes}`
  throw new DirectoryError(`${file} ${what}. Without it no API key can be checked: restore it from a backup.`)
}

/**
 * The key in `file`, made when missing. Call it inside the write transaction that makes the tables: it keeps other processes out,
 * and no stored HMAC depends yet on a file that is cut, so that one is replaced. The name appears only with all 32 bytes durable
 * under it. (A hard link, which would need no lock, is what some network file systems can't do.)
 */
export function createHmacKey(file: string): Buffer {
  const existing = readIfThere(file)
  if (existing?.length === keyBytes) return existing
  const key = newHmacKey()
  const unfinished = `${file}.new`
  writeFileSync(unfinished, key, { mode: 0o600, flush: true })
  renameSync(unfinished, file)
  const folder = openSync(dirname(file), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
  return key
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}
