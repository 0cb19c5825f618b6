/**
 * Which requests of a block have some value, a team's name for example. Requests are counted in the order in which they began, and every
 * 4096 of them are a block. In memory a posting is a bitmap; as it is stored, one of few positions is a list of them, so that names which
 * are seldom met take little.
 */
export const blockSize = 4096

const bitmapBytes = blockSize / 8
/** A list has two bytes for each position, and must stay shorter than a bitmap to be told from it. */
const longestList = bitmapBytes / 2 - 1

export function emptyPosting(): Uint8Array {
  return new Uint8Array(bitmapBytes)
}

export function setPosition(bits: Uint8Array, position: number): void {
  bits[position >> 3] = (bits[position >> 3] ?? 0) | (1 << (position & 7))
}

export function clearPosition(bits: Uint8Array, position: number): void {
  bits[position >> 3] = (bits[position >> 3] ?? 0) & ~(1 << (position & 7))
}

/** As it is stored; undefined where nothing is set. Shares the memory of `bits` where it is the bitmap. */
export function encodePosting(bits: Uint8Array): Uint8Array | undefined {
  let length = 0
  for (let at = 0; at < bitmapBytes; at += 1) {
    // Each turn takes the lowest bit that is set.
    for (let byte = bits[at] ?? 0; byte !== 0; byte &= byte - 1) {
      if (length === 2 * longestList) return bits
      list[length] = ((at & 31) << 3) | (31 - Math.clz32(byte & -byte))
      list[length + 1] = at >> 5
      length += 2
    }
  }
  return length === 0 ? undefined : list.slice(0, length)
}

// Nothing waits while it is used.
const list = new Uint8Array(2 * longestList)

export function decodePosting(stored: Uint8Array): Uint8Array {
  if (stored.length === bitmapBytes) return stored
  const bits = emptyPosting()
  for (let at = 0; at + 1 < stored.length; at += 2) setPosition(bits, (stored[at] ?? 0) | ((stored[at + 1] ?? 0) << 8))
  return bits
}

/** The positions that all of them have. */
export function intersect(postings: readonly Uint8Array[]): Uint8Array {
  const [first = emptyPosting(), ...others] = postings
  const bits = first.slice()
  for (const other of others) {
    for (let at = 0; at < bitmapBytes; at += 1) bits[at] = (bits[at] ?? 0) & (other[at] ?? 0)
  }
  return bits
}

export function* positionsOf(bits: Uint8Array, first: 'newest' | 'oldest'): Generator<number, void, undefined> {
  for (let step = 0; step < bitmapBytes; step += 1) {
    const at = first === 'oldest' ? step : bitmapBytes - 1 - step
    const byte = bits[at] ?? 0
    if (byte === 0) continue
    for (let turn = 0; turn < 8; turn += 1) {
      const bit = first === 'oldest' ? turn : 7 - turn
      if ((byte & (1 << bit)) !== 0) yield at * 8 + bit
    }
  }
}
