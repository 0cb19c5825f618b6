import { createHash } from 'node:crypto'

/** RFC 6962's definition of the tree, word for word and slow: what the tests hold the code against. Hashes in hex. */
export function referenceLeaf(entry: Uint8Array): string {
  return createHash('sha256').update(Buffer.of(0)).update(entry).digest('hex')
}

export function referenceRoot(leaves: readonly string[]): string {
  if (leaves.length === 0) return createHash('sha256').digest('hex')
  if (leaves.length === 1) return leaves[0] ?? ''
  const split = largestPowerBelow(leaves.length)
  return referenceNode(referenceRoot(leaves.slice(0, split)), referenceRoot(leaves.slice(split)))
}

/** PATH(m, D[n]) of RFC 6962, 2.1.1. */
export function referenceInclusion(index: number, leaves: readonly string[]): string[] {
  if (leaves.length <= 1) return []
  const split = largestPowerBelow(leaves.length)
  if (index < split) return [...referenceInclusion(index, leaves.slice(0, split)), referenceRoot(leaves.slice(split))]
  return [...referenceInclusion(index - split, leaves.slice(split)), referenceRoot(leaves.slice(0, split))]
}

/** PROOF(m, D[n]) of RFC 6962, 2.1.2; 0 < m <= n. */
export function referenceConsistency(size: number, leaves: readonly string[], whole = true): string[] {
  if (size === leaves.length) return whole ? [] : [referenceRoot(leaves)]
  const split = largestPowerBelow(leaves.length)
  if (size <= split) return [...referenceConsistency(size, leaves.slice(0, split), whole), referenceRoot(leaves.slice(split))]
  return [...referenceConsistency(size - split, leaves.slice(split), false), referenceRoot(leaves.slice(0, split))]
}

function referenceNode(left: string, right: string): string {
  return createHash('sha256').update(Buffer.of(1)).update(left, 'hex').update(right, 'hex').digest('hex')
}

function largestPowerBelow(count: number): number {
  let power = 1
  while (power * 2 < count) power *= 2
  return power
}
