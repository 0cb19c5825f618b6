import { GgufError } from './gguf-error.ts'

/** Reads a GGUF header's parts one after the other. */
export interface GgufBytes {
  position(): number
  uint32(): number
  /** A count or a length. Above 2^53 it is inexact; then it is more than any file holds. */
  count(): number
  string(): string
  /** Moves over so many bytes. */
  skip(bytes: number): void
  skipString(): void
  /** A value of a fixed size, by GGUF's number of its type; undefined for another type. */
  scalar(type: number): number | bigint | boolean | undefined
}

/** Thrown when the beginning of a file that was read does not reach far enough. */
export class NeedMoreBytes extends Error {}

/** Longest text that is kept: chat templates have some hundred kilobytes. */
const mostTextBytes = 16 * 2 ** 20

/** Bytes of one value of each fixed-size type, by its number (ggml's docs/gguf.md). */
export const scalarBytes: ReadonlyMap<number, number> = new Map([
  [0, 1], [1, 1], [2, 2], [3, 2], [4, 4], [5, 4], [6, 4], [7, 1], [10, 8], [11, 8], [12, 8],
])

/** `bytes` is the beginning of a file of `fileSize` bytes. All throw NeedMoreBytes, and GgufError when the file itself is too short. */
export function ggufBytes(bytes: Buffer, fileSize: number, path: string): GgufBytes {
  let at = 0
  const take = (count: number): number => {
    if (!(count <= fileSize - at)) throw damaged(path, 'is cut short or damaged: it ends inside the GGUF header. Fetch it again')
    if (count > bytes.length - at) throw new NeedMoreBytes()
    at += count
    return at - count
  }
  const count = (): number => Number(bytes.readBigUInt64LE(take(8)))
  return {
    position: () => at,
    uint32: () => bytes.readUInt32LE(take(4)),
    count,
    string() {
      const length = count()
      if (length > mostTextBytes && length <= fileSize) throw damaged(path, `is damaged: its header has a text of ${length} bytes`)
      const from = take(length)
      return bytes.toString('utf8', from, from + length)
    },
    skip: (length) => void take(length),
    skipString: () => void take(count()),
    scalar(type) {
      const width = scalarBytes.get(type)
      return width === undefined ? undefined : scalarAt(bytes, take(width), type)
    },
  }
}

function scalarAt(bytes: Buffer, at: number, type: number): number | bigint | boolean {
  switch (type) {
    case 0:
      return bytes.readUInt8(at)
    case 1:
      return bytes.readInt8(at)
    case 2:
      return bytes.readUInt16LE(at)
    case 3:
      return bytes.readInt16LE(at)
    case 4:
      return bytes.readUInt32LE(at)
    case 5:
      return bytes.readInt32LE(at)
    case 6:
      return bytes.readFloatLE(at)
    case 7:
      return bytes.readUInt8(at) !== 0
    case 10:
      return bytes.readBigUInt64LE(at)
    case 11:
      return bytes.readBigInt64LE(at)
    default:
      return bytes.readDoubleLE(at)
  }
}

export function damaged(path: string, what: string): GgufError {
  return new GgufError('file_damaged', `${path} ${what}.`)
}
