import { emptyRoot, hashBytes, nodeHash } from './merkle.ts'

/** Checks proofs by the algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2. Whatever is not exactly the proof is not one. */

export interface InclusionClaim {
  index: number
  size: number
  leaf: Uint8Array
  root: Uint8Array
  proof: readonly Uint8Array[]
}

/** True when the proof shows that `leaf` is the leaf hash at `index` in the tree of `size` leaves with that root. */
export function verifyInclusion({ index, size, leaf, root, proof }: InclusionClaim): boolean {
  if (!isSize(index) || !isSize(size) || index >= size || ![leaf, root, ...proof].every(isHash)) return false
  let position = index
  let last = size - 1
  let hash = leaf
  for (const sibling of proof) {
    if (last === 0) return false
    if (position % 2 === 1 || position === last) {
      hash = nodeHash(sibling, hash)
      while (position % 2 === 0 && position > 0) {
        position = half(position)
        last = half(last)
      }
    } else {
      hash = nodeHash(hash, sibling)
    }
    position = half(position)
    last = half(last)
  }
  return last === 0 && equal(hash, root)
}

export interface ConsistencyClaim {
  from: { size: number; root: Uint8Array }
  to: { size: number; root: Uint8Array }
  proof: readonly Uint8Array[]
}

/** True when the proof shows that the tree `to` begins with the tree `from`. */
export function verifyConsistency({ from, to, proof }: ConsistencyClaim): boolean {
  if (!isSize(from.size) || !isSize(to.size) || from.size > to.size || ![from.root, to.root, ...proof].every(isHash)) return false
  if (from.size === to.size) return proof.length === 0 && equal(from.root, to.root) && (from.size > 0 || equal(from.root, emptyRoot()))
  if (from.size === 0) return proof.length === 0 && equal(from.root, emptyRoot())
  if (proof.length === 0) return false
  const [first, ...rest] = isPowerOfTwo(from.size) ? [from.root, ...proof] : proof
  if (first === undefined) return false
  let position = from.size - 1
  let last = to.size - 1
  while (position % 2 === 1) {
    position = half(position)
    last = half(last)
  }
  let old = first
  let now = first
  for (const sibling of rest) {
    if (last === 0) return false
    if (position % 2 === 1 || position === last) {
      old = nodeHash(sibling, old)
      now = nodeHash(sibling, now)
      while (position % 2 === 0 && position > 0) {
        position = half(position)
        last = half(last)
      }
    } else {
      now = nodeHash(now, sibling)
    }
    position = half(position)
    last = half(last)
  }
  return last === 0 && equal(old, from.root) && equal(now, to.root)
}

/** Sizes go beyond what the bit operators take. */
function half(number: number): number {
  return Math.floor(number / 2)
}

function isPowerOfTwo(size: number): boolean {
  return Number.isInteger(Math.log2(size)) && 2 ** Math.log2(size) === size
}

function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size >= 0
}

function isHash(hash: Uint8Array): boolean {
  return hash.length === hashBytes
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
