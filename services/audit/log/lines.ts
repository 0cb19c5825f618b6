import type { FileHandle } from 'node:fs/promises'
import { hashLine, maxLineBytes } from './record.ts'

export interface Line {
  /** Without its newline, one character a byte; only the beginning of a line that is too long to be a record. */
  text: string
  /** Where it starts in the file, and how many bytes it takes with its newline. */
  start: number
  bytes: number
  /** Of the line with its newline; empty for a line that is too long. */
  hash: string
  /** False for what follows the last newline. */
  whole: boolean
}

const chunkBytes = 256 * 1024
const newline = 0x0a

/** The lines of a file, from a line's start on, in bounded memory whatever the file holds. */
export async function* readLines(file: FileHandle, from = 0): AsyncGenerator<Line, void, undefined> {
  const chunk = Buffer.allocUnsafe(chunkBytes)
  let position = from
  let start = from
  /** The beginning of a line that a chunk's end cut, at most maxLineBytes of it. */
  let carried = Buffer.alloc(0)

  const take = (end: number, piece: Buffer, whole: boolean): Line => {
    const bytes = end - start
    const line = carried.length === 0 ? piece : Buffer.concat([carried, piece])
    const text = line.toString('latin1', 0, Math.min(whole ? line.length - 1 : line.length, maxLineBytes))
    const taken: Line = { text, start, bytes, hash: bytes > maxLineBytes ? '' : hashLine(line), whole }
    start = end
    carried = Buffer.alloc(0)
    return taken
  }

  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, position)
    if (bytesRead === 0) break
    const data = chunk.subarray(0, bytesRead)
    let offset = 0
    for (let end = data.indexOf(newline); end !== -1; end = data.indexOf(newline, offset)) {
      yield take(position + end + 1, data.subarray(offset, end + 1), true)
      offset = end + 1
    }
    if (offset < bytesRead && carried.length < maxLineBytes) {
      carried = Buffer.concat([carried, data.subarray(offset, offset + maxLineBytes - carried.length)])
    }
    position += bytesRead
  }
  if (position > start) yield take(position, Buffer.alloc(0), false)
}
