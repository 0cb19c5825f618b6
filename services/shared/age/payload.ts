import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { AgeError } from './age-error.ts'

/**
 * The payload of an age file (age-encryption.org/v1, "Payload"): a nonce of 16 bytes, then STREAM: chunks of 64 KiB, each
 * ChaCha20-Poly1305 under its number and whether it is the last. Node's own crypto, twenty times as fast as the library's.
 */
export const chunkBytes = 65_536
export const tagBytes = 16
export const nonceBytes = 16
export const sealedChunkBytes = chunkBytes + tagBytes

const cipher = 'chacha20-poly1305'
const options = { authTagLength: tagBytes } as const

/** Key of the payload, of 32 bytes, from the header's file key and the payload's nonce. */
export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32))
}

/** Bytes that `plain` bytes become, the nonce not counted. */
export function sealedSize(plain: number): number {
  return plain + tagBytes * Math.max(1, Math.ceil(plain / chunkBytes))
}

/** Plain bytes in a payload of so many, the nonce not counted. Throws AgeError for a size that no payload has. */
export function plainSize(sealed: number): number {
  const rest = sealed % sealedChunkBytes
  // Only the very first chunk may hold nothing.
  if (sealed < tagBytes || (rest > 0 && rest < tagBytes) || (rest === tagBytes && sealed !== tagBytes)) {
    throw new AgeError('damaged', 'it is cut short or damaged: no encrypted file has its size')
  }
  return sealed - tagBytes * Math.ceil(sealed / sealedChunkBytes)
}

/** Encrypts chunk number `index`, of chunkBytes unless it is the last. */
export function sealChunk(key: Buffer, index: number, last: boolean, plain: Uint8Array): Buffer {
  const sealing = createCipheriv(cipher, key, chunkNonce(index, last), options)
  return Buffer.concat([sealing.update(plain), sealing.final(), sealing.getAuthTag()])
}

/** Decrypts chunk number `index` with its tag at the end. Throws AgeError when a bit of it, its number or its being last is another. */
export function openChunk(key: Buffer, index: number, last: boolean, sealed: Uint8Array): Buffer {
  const opening = createDecipheriv(cipher, key, chunkNonce(index, last), options)
  const end = sealed.length - tagBytes
  if (end < 0) throw damagedAt(index)
  opening.setAuthTag(sealed.subarray(end))
  const plain = opening.update(sealed.subarray(0, end))
  try {
    opening.final()
  } catch {
    throw damagedAt(index)
  }
  return plain
}

function damagedAt(index: number): AgeError {
  return new AgeError('damaged', `it is damaged or cut short: chunk ${index} of 64 KiB is not what was encrypted`)
}

/** Eleven bytes big-endian of the chunk's number, then 1 for the last chunk. */
function chunkNonce(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeBigUInt64BE(BigInt(index), 3)
  nonce[11] = last ? 1 : 0
  return nonce
}
