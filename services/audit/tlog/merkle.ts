import { hash } from 'node:crypto'

/**
 * The hashes of RFC 6962's Merkle tree over SHA-256. Places in buffers rather than buffers are passed where trees of millions of records
 * are hashed. The digest is taken as a latin1 string because Node.js makes those three times as fast as buffers.
 */
export const hashBytes = 32

/** Root of the tree without leaves. */
export function emptyRoot(): Buffer {
  return Buffer.from(hash('sha256', '', 'latin1'), 'latin1')
}

/** SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(hashBytes)
  hashLeaf(entry, out, 0)
  return out
}

/** The leaf hashes of entries, one after the other. */
export function leafHashes(entries: readonly Uint8Array[]): Buffer {
  const out = Buffer.allocUnsafe(entries.length * hashBytes)
  for (const [index, entry] of entries.entries()) hashLeaf(entry, out, index * hashBytes)
  return out
}

/** SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== hashBytes || right.length !== hashBytes) throw new RangeError('a node of a tree has two hashes of 32 bytes below it')
  const out = Buffer.allocUnsafe(hashBytes)
  node.set(left, 1)
  node.set(right, 1 + hashBytes)
  out.write(hash('sha256', node, 'latin1'), 0, 'latin1')
  return out
}

/** Writes the leaf hash of an entry to `out` at byte `at`. */
export function hashLeaf(entry: Uint8Array, out: Buffer, at: number): void {
  const end = entry.length + 1
  const message = end <= leaf.length ? leaf.subarray(0, end) : Buffer.alloc(end)
  message.set(entry, 1)
  out.write(hash('sha256', message, 'latin1'), at, 'latin1')
}

/** Writes the hash of two nodes that stand side by side in `from` at byte `fromAt` to `out` at byte `at`. */
export function hashPair(from: Buffer, fromAt: number, out: Buffer, at: number): void {
  from.copy(node, 1, fromAt, fromAt + 2 * hashBytes)
  out.write(hash('sha256', node, 'latin1'), at, 'latin1')
}

/** The root over a power of two of hashes, 32 bytes each: of a full tile, the hash that stands for it one level up. */
export function perfectRoot(hashes: Uint8Array): Buffer {
  let count = hashes.length / hashBytes
  if (!Number.isInteger(Math.log2(count))) throw new RangeError('a perfect tree has a power of two of leaves')
  const work = Buffer.from(hashes)
  while (count > 1) {
    for (let pair = 0; pair < count / 2; pair++) hashPair(work, pair * 2 * hashBytes, work, pair * hashBytes)
    count /= 2
  }
  return work.subarray(0, hashBytes)
}

// Nothing here waits, so that one of each is enough; a leaf's first byte is 0, a node's 1. Records have 8 KiB at most.
const leaf = Buffer.alloc(8193)
const node = Buffer.alloc(1 + 2 * hashBytes, 1)
