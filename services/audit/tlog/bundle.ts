import { MalformedError } from './malformed.ts'
import { fullWidth } from './tile-path.ts'

/**
 * Bundles of entries, as c2sp.org/tlog-tiles has them: each entry behind its length as a big-endian uint16. One that was pruned has the
 * length 0, which no record has; its hash stays in the tile.
 */
export const maxEntryBytes = 65_535

export function encodeBundle(entries: readonly (Uint8Array | undefined)[]): Buffer {
  const bytes = Buffer.allocUnsafe(entries.reduce((sum, entry) => sum + 2 + (entry?.length ?? 0), 0))
  let at = 0
  for (const entry of entries) {
    if (entry !== undefined && (entry.length === 0 || entry.length > maxEntryBytes)) throw new RangeError(`an entry has 1 to ${maxEntryBytes} bytes, not ${entry.length}`)
    at = bytes.writeUInt16BE(entry?.length ?? 0, at)
    if (entry === undefined) continue
    bytes.set(entry, at)
    at += entry.length
  }
  return bytes
}

/**
 * The entries of a bundle that has `width` of them, undefined for each that was pruned; they share the bundle's memory.
 * Throws MalformedError when the bytes are not exactly that many entries.
 */
export function decodeBundle(bytes: Uint8Array, width: number = fullWidth): (Uint8Array | undefined)[] {
  const entries: (Uint8Array | undefined)[] = []
  let at = 0
  while (at < bytes.length) {
    if (entries.length === width) throw new MalformedError(`a bundle of ${width} entries has ${bytes.length - at} bytes behind the last`)
    if (at + 2 > bytes.length) throw new MalformedError(`a bundle ends within the length of entry ${entries.length}`)
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    at += 2
    if (at + length > bytes.length) throw new MalformedError(`a bundle ends within entry ${entries.length}`)
    entries.push(length === 0 ? undefined : bytes.subarray(at, at + length))
    at += length
  }
  if (entries.length < width) throw new MalformedError(`a bundle has ${entries.length} entries, not ${width}`)
  return entries
}
