import { AgeError } from './age-error.ts'
import { nonceBytes, plainSize } from './payload.ts'

/** The shape of an age file, which no key is needed for: apart from what reads its header, as loading the library takes a while. */

/** What of an open file is used here: a FileHandle has it. */
export interface ReadableFile {
  stat(): Promise<{ size: number }>
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
}

/** First line of every age file. */
const ageIntro = 'age-encryption.org/v1\n'

/** A header for a few recipients has some kilobytes, a hybrid one two for each. */
const largestHeader = 1 << 20

export interface Layout {
  header: Buffer
  /** Bytes of the whole file. */
  size: number
  /** Bytes of the plaintext, as the size of the file tells. */
  plain: number
}

/** Throws AgeError for what can't be an age file (of the binary format, not the armored one). */
export async function readLayout(file: ReadableFile): Promise<Layout> {
  const { size } = await file.stat()
  const start = await readStart(file, size)
  const length = headerLength(start)
  // The specification counts the nonce, without which there is no payload, among the header.
  if (length === undefined || size < length + nonceBytes) throw new AgeError('bad_header', 'its header is damaged or cut short')
  return { header: start.subarray(0, length), size, plain: plainSize(size - length - nonceBytes) }
}

/** Bytes of the header that `start`, the first bytes of a file, begins with; undefined when its end is not among them. */
function headerLength(start: Buffer): number | undefined {
  // No line of a stanza can begin so: its first begins with "->", and its others are base64.
  const mac = start.indexOf('\n--- ')
  if (mac === -1) return undefined
  const end = start.indexOf('\n', mac + 1)
  return end === -1 ? undefined : end + 1
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

/** Exactly so many bytes, at the beginning of `into`. Throws AgeError when the file ends before. */
export async function readFully(file: ReadableFile, position: number, length: number, into = Buffer.allocUnsafe(length)): Promise<Buffer> {
  const bytes = into.subarray(0, length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw new AgeError('damaged', 'it became shorter while it was read')
    done += bytesRead
  }
  return bytes
}
