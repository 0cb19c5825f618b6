import { randomBytes } from 'node:crypto'
import { AgeError } from './age-error.ts'
import { ageIntro, headerLength, largestHeader, makeHeader, openHeader } from './header.ts'
import { chunkBytes, nonceBytes, openChunk, payloadKey, plainSize, sealChunk, sealedChunkBytes } from './payload.ts'

/** Chunks in one read: a megabyte. */
const chunksAtOnce = 16

/** What of an open file is used here: a FileHandle has it. */
export interface ReadableFile {
  stat(): Promise<{ size: number }>
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
}

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
  /** The plaintext, at most a megabyte at a time. Each piece is authentic; that all of it was there is known at the end. Throws AgeError. */
  content(signal: AbortSignal): AsyncGenerator<Buffer>
}

/** Reads the header of an age file (the binary format, not the armored one). Throws AgeError. */
export async function openAge(file: ReadableFile, identities: readonly string[]): Promise<OpenedAge> {
  const { header, size, plain } = await readLayout(file)
  const fileKey = await openHeader(header, identities)
  return { size: plain, content: (signal) => opened(file, fileKey, header.length + nonceBytes, size, signal) }
}

/** Bytes of the plaintext of an age file, as far as its size and shape tell: no key is needed. Throws AgeError. */
export async function sizeWhenOpened(file: ReadableFile): Promise<number> {
  return (await readLayout(file)).plain
}

async function readLayout(file: ReadableFile): Promise<{ header: Buffer; size: number; plain: number }> {
  const { size } = await file.stat()
  const start = await readStart(file, size)
  const length = headerLength(start)
  // The specification counts the nonce, without which there is no payload, among the header.
  if (length === undefined || size < length + nonceBytes) throw new AgeError('bad_header', 'its header is damaged or cut short')
  return { header: start.subarray(0, length), size, plain: plainSize(size - length - nonceBytes) }
}

async function* opened(file: ReadableFile, fileKey: Uint8Array, first: number, size: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  const key = payloadKey(fileKey, await readFully(file, first - nonceBytes, nonceBytes))
  for (let position = first, index = 0; position < size;) {
    signal.throwIfAborted()
    const bytes = await readFully(file, position, Math.min(size - position, chunksAtOnce * sealedChunkBytes))
    position += bytes.length
    const plain: Buffer[] = []
    for (let at = 0; at < bytes.length; at += sealedChunkBytes) {
      const last = position === size && at + sealedChunkBytes >= bytes.length
      plain.push(openChunk(key, index, last, bytes.subarray(at, at + sealedChunkBytes)))
      index += 1
    }
    yield Buffer.concat(plain)
  }
}

/** The first bytes of the file, so many that its header ends among them if it is one. */
async function readStart(file: ReadableFile, size: number): Promise<Buffer> {
  const intro = await readFully(file, 0, Math.min(size, ageIntro.length))
  if (!intro.equals(Buffer.from(ageIntro))) throw new AgeError('not_age', 'it is no file in the age format')
  for (let wanted = 4096; ; wanted *= 4) {
    const start = await readFully(file, 0, Math.min(size, wanted, largestHeader))
    if (headerLength(start) !== undefined || start.length === size || wanted >= largestHeader) return start
  }
}

async function readFully(file: ReadableFile, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw new AgeError('damaged', 'it became shorter while it was read')
    done += bytesRead
  }
  return bytes
}
