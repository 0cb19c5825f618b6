import { randomBytes } from 'node:crypto'
import { makeHeader, openHeader } from './header.ts'
import { readFully, readLayout, type ReadableFile } from './layout.ts'
import { chunkBytes, nonceBytes, openChunk, payloadKey, sealChunk, sealedChunkBytes } from './payload.ts'

/** Chunks in one read: a megabyte. */
const chunksAtOnce = 16

/** The bytes of an age file that holds what `plain` holds, a megabyte at a time. Throws AgeError for bad recipients, and as the file system does. */
export async function* encrypted(plain: ReadableFile, recipients: readonly string[], signal: AbortSignal): AsyncGenerator<Buffer> {
  const { header, fileKey } = await makeHeader(recipients)
  const nonce = randomBytes(nonceBytes)
  const key = payloadKey(fileKey, nonce)
  yield Buffer.concat([header, nonce])
  const { size } = await plain.stat()
  for (let position = 0, index = 0; position < size || index === 0;) {
    signal.throwIfAborted()
    const bytes = await readFully(plain, position, Math.min(size - position, chunksAtOnce * chunkBytes))
    position += bytes.length
    const sealed: Buffer[] = []
    for (let at = 0; at < bytes.length || index === 0; at += chunkBytes) {
      const last = position === size && at + chunkBytes >= bytes.length
      sealed.push(sealChunk(key, index, last, bytes.subarray(at, at + chunkBytes)))
      index += 1
    }
    yield Buffer.concat(sealed)
  }
}

export interface OpenedAge {
  /** Bytes of the plaintext. */
  size: number
  /**
   * The plaintext, at most a megabyte at a time, each piece in the same memory: it is to be used or copied before the next. Each is
   * authentic; that all of it was there is known at the end. Throws AgeError.
   */
  content(signal: AbortSignal): AsyncGenerator<Buffer>
}

/** Reads the header of an age file (the binary format, not the armored one). Throws AgeError. */
export async function openAge(file: ReadableFile, identities: readonly string[]): Promise<OpenedAge> {
  const { header, size, plain } = await readLayout(file)
  const fileKey = await openHeader(header, identities)
  return { size: plain, content: (signal) => opened(file, fileKey, header.length + nonceBytes, size, signal) }
}

async function* opened(file: ReadableFile, fileKey: Uint8Array, first: number, size: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  const key = payloadKey(fileKey, await readFully(file, first - nonceBytes, nonceBytes))
  // Used over and over: of buffers that are thrown away, many lie about before they are collected.
  const sealed = Buffer.allocUnsafe(chunksAtOnce * sealedChunkBytes)
  const plain = Buffer.allocUnsafe(chunksAtOnce * chunkBytes)
  for (let position = first, index = 0; position < size;) {
    signal.throwIfAborted()
    const bytes = await readFully(file, position, Math.min(size - position, sealed.length), sealed)
    position += bytes.length
    let length = 0
    for (let at = 0; at < bytes.length; at += sealedChunkBytes) {
      const last = position === size && at + sealedChunkBytes >= bytes.length
      length += openChunk(key, index, last, bytes.subarray(at, at + sealedChunkBytes)).copy(plain, length)
      index += 1
    }
    yield plain.subarray(0, length)
  }
}
