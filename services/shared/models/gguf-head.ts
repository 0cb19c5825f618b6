/**
 * Bytes of a GGUF file (ggml's docs/gguf.md) before its tensors' data: magic, counts, metadata, and the descriptions of the tensors.
 * That is all that a vocabulary is read from. Undefined when `start`, the first bytes of the file, does not hold all of it; 'none'
 * when this is no GGUF file, which is for the reader behind to say.
 */
export function ggufHeadLength(start: Buffer): number | undefined | 'none' {
  if (start.length < 24) return undefined
  const version = start.readUInt32LE(4)
  if (start.toString('latin1', 0, 4) !== 'GGUF' || (version !== 2 && version !== 3)) return 'none'
  const tensors = Number(start.readBigUInt64LE(8))
  const entries = Number(start.readBigUInt64LE(16))
  let at = 24
  try {
    for (let entry = 0; entry < entries; entry++) {
      at = afterString(start, at)
      at = afterValue(start, at + 4, start.readUInt32LE(at), 0)
    }
    for (let tensor = 0; tensor < tensors; tensor++) {
      at = afterString(start, at)
      // Dimensions, type and offset.
      at += 4 + 8 * start.readUInt32LE(at) + 4 + 8
    }
  } catch (thrown) {
    if (thrown instanceof RangeError) return undefined
    if (thrown instanceof UnknownType) return 'none'
    throw thrown
  }
  return at <= start.length ? at : undefined
}

class UnknownType extends Error {}

const stringType = 8
const arrayType = 9
/** Bytes of the other types of values, by their number: integers of 8 to 32 bits, float, boolean; then 64 bits. */
const sizes: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }
const deepestArray = 4

function afterString(bytes: Buffer, at: number): number {
  return at + 8 + Number(bytes.readBigUInt64LE(at))
}

function afterValue(bytes: Buffer, at: number, type: number, depth: number): number {
  if (type === stringType) return afterString(bytes, at)
  if (type !== arrayType) return at + sizeOf(type)
  if (depth === deepestArray) throw new UnknownType()
  const items = bytes.readUInt32LE(at)
  const count = Number(bytes.readBigUInt64LE(at + 4))
  let end = at + 12
  if (items !== stringType && items !== arrayType) return end + count * sizeOf(items)
  for (let item = 0; item < count; item++) end = afterValue(bytes, end, items, depth + 1)
  return end
}

function sizeOf(type: number): number {
  const size = sizes[type]
  if (size === undefined) throw new UnknownType()
  return size
}
