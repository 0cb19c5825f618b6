import { damaged, type GgufBytes, ggufBytes, NeedMoreBytes, scalarBytes } from './gguf-bytes.ts'
import { GgufError } from './gguf-error.ts'
import { tensorType } from './tensor-type.ts'

export interface GgufHeader {
  readonly version: number
  readonly metadata: ReadonlyMap<string, MetadataValue>
  readonly tensors: readonly Tensor[]
}

export type MetadataValue = string | number | bigint | boolean | MetadataArray

export interface MetadataArray {
  readonly length: number
  /** Undefined for texts (a vocabulary), and for more than `mostKept` items: then only the length is known. */
  readonly items: readonly (number | bigint | boolean)[] | undefined
}

export interface Tensor {
  readonly name: string
  /** Fastest-changing first. */
  readonly dimensions: readonly number[]
  readonly elements: number
  /** Name of its type; "type 99" for one that is not known here. */
  readonly type: string
  /** Size of its data. For a type that is not known here: up to the next tensor. */
  readonly bytes: number
}

const mostKept = 65_536
const mostEntries = 65_536
const mostTensors = 262_144
/** ggml's GGML_MAX_DIMS. */
const mostDimensions = 4
/** Magic, version, and the counts of tensors and metadata (ggml's docs/gguf.md). */
const startBytes = 24
/**
 * A tensor's description has at least a name's length, a dimension count, a type and an offset; a metadata entry at least a
 * key's length, a type and a byte.
 */
const leastTensorBytes = 24
const leastEntryBytes = 13
const stringType = 8
const arrayType = 9

/**
 * The header of a GGUF file, of which `bytes` is the beginning and `fileSize` the size of the whole; undefined when more of it is
 * needed. Takes memory and time in proportion to `bytes`, whatever they say. Throws GgufError, which names `path`.
 */
export function parseGgufHeader(bytes: Buffer, fileSize: number, path: string): GgufHeader | undefined {
  try {
    return parse(bytes, fileSize, path)
  } catch (thrown) {
    if (thrown instanceof NeedMoreBytes) return undefined
    throw thrown
  }
}

function parse(bytes: Buffer, fileSize: number, path: string): GgufHeader {
  const reader = ggufBytes(bytes, fileSize, path)
  const { version, tensorCount, entryCount } = parseStart(reader, bytes, fileSize, path)
  const metadata = new Map<string, MetadataValue>()
  for (let left = entryCount; left > 0; left--) {
    const key = reader.string()
    if (metadata.has(key)) throw damaged(path, 'is damaged: its header has a metadata key twice')
    metadata.set(key, parseValue(reader, path))
  }
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 1 || alignment % 1 !== 0) {
    throw damaged(path, 'is damaged: its general.alignment is no alignment')
  }
  const descriptions: TensorDescription[] = []
  for (let left = tensorCount; left > 0; left--) descriptions.push(parseTensor(reader, path))
  const dataOffset = Math.ceil(reader.position() / alignment) * alignment
  return { version, metadata, tensors: placeTensors(descriptions, fileSize - dataOffset, path) }
}

function parseStart(reader: GgufBytes, bytes: Buffer, fileSize: number, path: string): { version: number; tensorCount: number; entryCount: number } {
  if (bytes.length < 4 || bytes.toString('latin1', 0, 4) !== 'GGUF') {
    throw new GgufError('not_gguf', `${path} is not a GGUF file: it does not begin with "GGUF".`)
  }
  if (fileSize < startBytes) throw damaged(path, 'is cut short: it ends inside the GGUF header. Fetch it again')
  reader.skip(4)
  const version = reader.uint32()
  if (version !== 2 && version !== 3) {
    const order = version !== 0 && version % 65_536 === 0 ? ' (a big-endian file)' : ''
    throw new GgufError('unsupported_gguf_version', `${path} has GGUF version ${version}${order}; versions 2 and 3 can be read.`)
  }
  const tensorCount = reader.count()
  const entryCount = reader.count()
  const least = tensorCount * leastTensorBytes + entryCount * leastEntryBytes
  if (least > fileSize || tensorCount > mostTensors || entryCount > mostEntries) {
    throw damaged(path, 'is damaged: its header counts more tensors or metadata than the file can hold')
  }
  return { version, tensorCount, entryCount }
}

function parseValue(reader: GgufBytes, path: string): MetadataValue {
  const type = reader.uint32()
  if (type === stringType) return reader.string()
  if (type === arrayType) return parseArray(reader, path)
  const value = reader.scalar(type)
  if (value === undefined) throw damaged(path, `is damaged: its header has metadata of the unknown type ${type}`)
  return value
}

function parseArray(reader: GgufBytes, path: string): MetadataArray {
  const type = reader.uint32()
  const length = reader.count()
  const width = scalarBytes.get(type)
  if (type === stringType) {
    for (let left = length; left > 0; left--) reader.skipString()
  } else if (width === undefined) {
    // Arrays in arrays are in the format, but llama.cpp reads none.
    throw damaged(path, `is damaged: its header has an array of the unknown type ${type}`)
  } else if (length > mostKept) {
    reader.skip(length * width)
  } else {
    const items: (number | bigint | boolean)[] = []
    for (let left = length; left > 0; left--) items.push(reader.scalar(type) ?? 0)
    return { length, items }
  }
  return { length, items: undefined }
}

interface TensorDescription {
  name: string
  dimensions: number[]
  elements: number
  type: number
  offset: number
}

function parseTensor(reader: GgufBytes, path: string): TensorDescription {
  const name = reader.string()
  const dimensionCount = reader.uint32()
  if (dimensionCount > mostDimensions) throw damaged(path, 'is damaged: its header has a tensor of too many dimensions')
  const dimensions: number[] = []
  let elements = 1
  for (let left = dimensionCount; left > 0; left--) {
    const dimension = reader.count()
    dimensions.push(dimension)
    elements *= dimension
  }
  if (!Number.isSafeInteger(elements) || elements < 1) throw damaged(path, 'is damaged: its header has a tensor of an impossible size')
  const type = reader.uint32()
  const offset = reader.count()
  return { name, dimensions, elements, type, offset }
}

/** Their sizes. Throws GgufError when the file does not hold them all. */
function placeTensors(descriptions: readonly TensorDescription[], dataBytes: number, path: string): Tensor[] {
  const offsets = descriptions.map(({ offset }) => offset).sort((one, other) => one - other)
  const names = new Set<string>()
  return descriptions.map(({ name, dimensions, elements, type, offset }) => {
    if (names.has(name)) throw damaged(path, 'is damaged: its header has a tensor twice')
    names.add(name)
    const known = tensorType(type)
    const bytes = known === undefined ? nextAfter(offsets, offset, dataBytes) - offset : (elements / known.elements) * known.bytes
    if (!(offset + bytes <= dataBytes) || bytes < 0) {
      throw damaged(path, 'is cut short or damaged: not all of its tensors are in the file. Fetch it again')
    }
    if (bytes % 1 !== 0) throw damaged(path, 'is damaged: its header has a tensor that does not fit its type')
    return { name, dimensions, elements, type: known?.name ?? `type ${type}`, bytes }
  })
}

/** The next larger of the sorted offsets, or the end. */
function nextAfter(offsets: readonly number[], offset: number, end: number): number {
  let low = 0
  let high = offsets.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((offsets[middle] ?? end) > offset) high = middle
    else low = middle + 1
  }
  return offsets[low] ?? end
}
