/** What a metadata entry is set to. Numbers become 32-bit unsigned integers. */
export type MetadataValue = string | number | boolean | Float32 | readonly string[] | Int32Array | Float32Array
export interface Float32 {
  readonly float32: number
}

/** A GGUF file taken apart as far as its parts can be put together differently (ggml's docs/gguf.md). */
export interface GgufFile {
  /** The entries as they stand in the file, by key. */
  metadata: Map<string, Buffer>
  tensors: Tensor[]
  /** The tensors' data, to which their offsets refer. */
  data: Buffer
}

export interface Tensor {
  name: string
  /** Fastest-changing first. */
  dimensions: readonly number[]
  /** ggml's number of it. */
  type: number
  offset: bigint
}

const version = 3
const alignment = 32

const typeNumber = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 }
/** Bytes of one value of each fixed-size type, by its number. */
const widths = new Map([[0, 1], [1, 1], [2, 2], [3, 2], [4, 4], [5, 4], [6, 4], [7, 1], [10, 8], [11, 8], [12, 8]])

/** Of a well-formed file of version 3 with the usual alignment; the tests' own files are. */
export function parseGguf(content: Buffer): GgufFile {
  if (content.toString('latin1', 0, 4) !== 'GGUF' || content.readUInt32LE(4) !== version) {
    throw new Error(`This is not a GGUF file of version ${version}.`)
  }
  let at = 8
  const count = (): number => {
    at += 8
    return Number(content.readBigUInt64LE(at - 8))
  }
  const number = (): number => {
    at += 4
    return content.readUInt32LE(at - 4)
  }
  const string = (): string => {
    const length = count()
    at += length
    return content.toString('utf8', at - length, at)
  }
  const skip = (type: number): void => {
    const width = widths.get(type)
    if (width !== undefined) {
      at += width
    } else if (type === typeNumber.string) {
      string()
    } else {
      const element = number()
      for (let left = count(); left > 0; left--) skip(element)
    }
  }
  const tensorCount = count()
  const metadata = new Map<string, Buffer>()
  for (let left = count(); left > 0; left--) {
    const key = string()
    const from = at
    skip(number())
    metadata.set(key, content.subarray(from, at))
  }
  if (metadata.has('general.alignment')) throw new Error('A GGUF file with an alignment of its own is not known here.')
  const tensors: Tensor[] = []
  for (let left = tensorCount; left > 0; left--) {
    const name = string()
    const dimensions: number[] = []
    for (let dimension = number(); dimension > 0; dimension--) dimensions.push(count())
    const type = number()
    tensors.push({ name, dimensions, type, offset: BigInt(count()) })
  }
  return { metadata, tensors, data: content.subarray(Math.ceil(at / alignment) * alignment) }
}

/** The file as the pieces to be written one after the other. */
export function serialiseGguf({ metadata, tensors, data }: GgufFile): Buffer[] {
  const parts: Buffer[] = [Buffer.from('GGUF'), uint32(version), uint64(tensors.length), uint64(metadata.size)]
  for (const [key, value] of metadata) parts.push(text(key), value)
  for (const { name, dimensions, type, offset } of tensors) {
    parts.push(text(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(type), uint64(offset))
  }
  let length = 0
  for (const part of parts) length += part.length
  return [...parts, Buffer.alloc((alignment - (length % alignment)) % alignment), data]
}

/** A metadata entry as it stands in a file. */
export function encodeMetadata(value: MetadataValue): Buffer {
  if (typeof value === 'string') return Buffer.concat([uint32(typeNumber.string), text(value)])
  if (typeof value === 'number') return Buffer.concat([uint32(typeNumber.uint32), uint32(value)])
  if (typeof value === 'boolean') return Buffer.concat([uint32(typeNumber.bool), Buffer.from([value ? 1 : 0])])
  if (value instanceof Int32Array) return array(typeNumber.int32, value.length, [bytesOf(value)])
  if (value instanceof Float32Array) return array(typeNumber.float32, value.length, [bytesOf(value)])
  if ('float32' in value) return Buffer.concat([uint32(typeNumber.float32), bytesOf(Float32Array.of(value.float32))])
  return array(typeNumber.string, value.length, value.map(text))
}

/** Bytes before the elements of an array's entry: the type, the elements' type, their number. */
const arrayHead = 16

/** How many elements an array's entry has. */
export function metadataLength(entry: Buffer): number {
  if (entry.readUInt32LE(0) !== typeNumber.array) throw new Error('This metadata entry is no array.')
  return Number(entry.readBigUInt64LE(8))
}

/** An array's entry with the elements of another of the same type after its own. */
export function appendMetadata(entry: Buffer, more: Buffer): Buffer {
  if (entry.readUInt32LE(4) !== more.readUInt32LE(4)) throw new Error('The two arrays have elements of different types.')
  const length = metadataLength(entry) + metadataLength(more)
  return Buffer.concat([entry.subarray(0, 8), uint64(length), entry.subarray(arrayHead), more.subarray(arrayHead)])
}

function array(type: number, length: number, elements: readonly Buffer[]): Buffer {
  return Buffer.concat([uint32(typeNumber.array), uint32(type), uint64(length), ...elements])
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array | Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint64(bytes.length), bytes])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
