import fc from 'fast-check'
import { expect, test } from 'vitest'
import { edgeRoot, emptyEdge, extendEdge } from './edge.ts'
import { MalformedError } from './malformed.ts'
import { hashBytes, leafHash } from './merkle.ts'
import { MissingTileError, proveConsistency, proveInclusion, type ReadTile, rootFromTiles } from './proofs.ts'
import { referenceConsistency, referenceInclusion } from './test-support/reference-tree.ts'
import { widthAt } from './tile-path.ts'
import { type ConsistencyClaim, type InclusionClaim, verifyConsistency, verifyInclusion } from './verify-proofs.ts'

const leaves = Array.from({ length: 66_000 }, (_, index) => leafHash(Buffer.from(`entry ${index}`)))
const levels = [leaves.slice(), ...[1, 2].map((level) => Array.from({ length: Math.floor(leaves.length / 256 ** level) }, (_, index) => rootOf(index * 256 ** level, (index + 1) * 256 ** level)))]

function rootOf(start: number, end: number): Buffer {
  return edgeRoot(extendEdge(emptyEdge, Buffer.concat(leaves.slice(start, end))).edge)
}

/** The tiles of the tree of `size` leaves, and of no other. */
function tilesOfSize(size: number): ReadTile {
  return async (level, index, width) => {
    expect(width).toBe(widthAt(size, level, index))
    return Buffer.concat(levels[level]?.slice(index * 256, index * 256 + width) ?? [])
  }
}

/** As above, without hashing all of it again; that it is the same is tested below. */
async function rootOfFirst(size: number): Promise<Buffer> {
  return await rootFromTiles(size, tilesOfSize(size))
}

const hex = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('hex'))

test('every leaf of small trees has the proof that RFC 6962 defines, and it verifies', async () => {
  for (let size = 1; size <= 40; size++) {
    const root = rootOf(0, size)
    expect((await rootFromTiles(size, tilesOfSize(size))).equals(root)).toBe(true)
    for (let index = 0; index < size; index++) {
      const proof = await proveInclusion(index, size, tilesOfSize(size))
      expect(hex(proof)).toEqual(referenceInclusion(index, hex(leaves.slice(0, size))))
      expect(verifyInclusion({ index, size, leaf: leaves[index] ?? root, root, proof })).toBe(true)
    }
  }
})

test('every pair of small trees has the proof that RFC 6962 defines, and it verifies', async () => {
  for (let size = 0; size <= 40; size++) {
    for (let from = 0; from <= size; from++) {
      const proof = await proveConsistency(from, size, tilesOfSize(size))
      expect(hex(proof)).toEqual(from === 0 ? [] : referenceConsistency(from, hex(leaves.slice(0, size))))
      expect(verifyConsistency({ from: { size: from, root: rootOf(0, from) }, to: { size, root: rootOf(0, size) }, proof })).toBe(true)
    }
  }
})

const sizes = fc.oneof(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: leaves.length }), fc.constantFrom(255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537))

test('every index of random trees proves inclusion', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.array(fc.nat(), { minLength: 1, maxLength: 20 }), async (size, places) => {
      const root = rootOf(0, size)
      expect((await rootFromTiles(size, tilesOfSize(size))).equals(root)).toBe(true)
      for (const index of [0, size - 1, ...places.map((place) => place % size)]) {
        const proof = await proveInclusion(index, size, tilesOfSize(size))
        expect(verifyInclusion({ index, size, leaf: leaves[index] ?? root, root, proof })).toBe(true)
      }
    }),
    { numRuns: 40 },
  )
})

test('every pair of random sizes proves consistency', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, sizes, async (a, b) => {
      const [from, size] = a < b ? [a, b] : [b, a]
      const proof = await proveConsistency(from, size, tilesOfSize(size))
      expect(verifyConsistency({ from: { size: from, root: await rootOfFirst(from) }, to: { size, root: await rootOfFirst(size) }, proof })).toBe(true)
    }),
    { numRuns: 60 },
  )
})

const garbage = fc.uint8Array({ minLength: 32, maxLength: 32 })
const flipped = (hash: Uint8Array, bit: number): Buffer => {
  const copy = Buffer.from(hash)
  const at = (bit >> 3) % copy.length
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7))
  return copy
}
const without = <T>(list: readonly T[], at: number): T[] => list.toSpliced(at % list.length, 1)

/** All the ways in which a list of hashes is made another. */
function otherProofs(proof: readonly Uint8Array[], { at, bit, extra }: { at: number; bit: number; extra: Uint8Array }): Uint8Array[][] {
  const others = [[...proof, extra], [extra, ...proof], [...proof, ...proof.slice(-1), extra]]
  if (proof.length > 0) {
    const place = at % proof.length
    const hash = proof[place] ?? extra
    others.push(without(proof, at), [...proof, hash], proof.with(place, flipped(hash, bit)), proof.with(place, hash.subarray(0, 31)), proof.with(place, Buffer.concat([hash, Buffer.of(0)])))
  }
  if (proof.length > 1) others.push(proof.toReversed(), [...proof.slice(1), ...proof.slice(0, 1)])
  return others
}

const damage = fc.record({ at: fc.nat(60), bit: fc.nat(255), extra: garbage })

test('no wrong proof of inclusion passes', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), damage, sizes, async (size, place, harm, otherSize) => {
      const index = place % size
      const root = await rootOfFirst(size)
      const claim: InclusionClaim = { index, size, leaf: leaves[index] ?? root, root, proof: await proveInclusion(index, size, tilesOfSize(size)) }
      expect(verifyInclusion(claim)).toBe(true)
      const wrong: InclusionClaim[] = [
        ...otherProofs(claim.proof, harm).map((proof) => ({ ...claim, proof })),
        { ...claim, leaf: flipped(claim.leaf, harm.bit) },
        { ...claim, root: flipped(root, harm.bit) },
        { ...claim, leaf: claim.leaf.subarray(1) },
        { ...claim, root: Buffer.concat([root, Buffer.of(0)]) },
        ...[index + 1, index - 1, index + size, index + 2 ** 32, index + 0.5, -1, Number.NaN, Infinity].map((other) => ({ ...claim, index: other })),
        ...[0, index, size * 2, -size, size + 0.5, Number.NaN, Infinity, 2 ** 53].map((other) => ({ ...claim, size: other })),
      ]
      for (const one of wrong) expect(verifyInclusion(one)).toBe(false)
      // A proof of one tree may have the shape of one of another, never its root.
      if (otherSize !== size) expect(verifyInclusion({ ...claim, size: otherSize, root: await rootOfFirst(otherSize) })).toBe(false)
    }),
    { numRuns: 60 },
  )
})

test('no wrong proof of consistency passes', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, sizes, damage, sizes, async (a, b, harm, otherSize) => {
      const [small, large] = a < b ? [a, b] : [b, a]
      const claim: ConsistencyClaim = { from: { size: small, root: await rootOfFirst(small) }, to: { size: large, root: await rootOfFirst(large) }, proof: await proveConsistency(small, large, tilesOfSize(large)) }
      expect(verifyConsistency(claim)).toBe(true)
      const { from, to } = claim
      const wrong: ConsistencyClaim[] = [
        ...otherProofs(claim.proof, harm).map((proof) => ({ ...claim, proof })),
        { ...claim, from: { ...from, root: flipped(from.root, harm.bit) } },
        { ...claim, to: { ...to, root: flipped(to.root, harm.bit) } },
        { ...claim, to: { ...to, root: to.root.subarray(1) } },
        ...[from.size + 0.5, -1, Number.NaN, to.size + 1, from.size + 2 ** 32].map((size) => ({ ...claim, from: { ...from, size } })),
        ...[to.size * 2, to.size + 0.5, -1, Number.NaN, from.size - 1, 2 ** 53].map((size) => ({ ...claim, to: { ...to, size } })),
      ]
      if (small < large) wrong.push({ ...claim, from: to, to: from }, { ...claim, from: { ...from, root: to.root } }, { ...claim, to: { ...to, root: from.root } })
      for (const one of wrong) expect(verifyConsistency(one)).toBe(false)
      if (otherSize !== small) expect(verifyConsistency({ ...claim, from: { size: otherSize, root: await rootOfFirst(otherSize) } })).toBe(false)
      if (otherSize !== large) expect(verifyConsistency({ ...claim, to: { size: otherSize, root: await rootOfFirst(otherSize) } })).toBe(false)
    }),
    { numRuns: 60 },
  )
})

test('the empty tree begins every tree, and no other tree is empty', () => {
  const [empty, some] = [rootOf(0, 0), rootOf(0, 5)]
  expect(verifyConsistency({ from: { size: 0, root: empty }, to: { size: 5, root: some }, proof: [] })).toBe(true)
  expect(verifyConsistency({ from: { size: 0, root: some }, to: { size: 5, root: some }, proof: [] })).toBe(false)
  expect(verifyConsistency({ from: { size: 0, root: some }, to: { size: 0, root: some }, proof: [] })).toBe(false)
  expect(verifyConsistency({ from: { size: 0, root: empty }, to: { size: 5, root: some }, proof: [some] })).toBe(false)
})

test('a partial tile that is gone is taken from the full one', async () => {
  const proof = await proveInclusion(3, 300, async (level, index, width) => (width === 256 ? Buffer.concat(levels[level]?.slice(index * 256, index * 256 + 256) ?? []) : undefined))
  expect(verifyInclusion({ index: 3, size: 300, leaf: leaves[3] ?? Buffer.alloc(0), root: rootOf(0, 300), proof })).toBe(true)
})

test('says which tile is missing or of another length, and which leaf or tree is none', async () => {
  const missing = proveInclusion(3, 300, async (level, index, width) => (level === 0 && index === 1 ? undefined : await tilesOfSize(300)(level, index, width)))
  await expect(missing).rejects.toThrow(new MissingTileError('tile/0/001.p/44 is missing'))
  await expect(proveConsistency(100, 300, async () => Buffer.alloc(33))).rejects.toThrow(MalformedError)
  await expect(proveConsistency(100, 300, async () => Buffer.alloc(257 * hashBytes))).rejects.toThrow(/has 8224 bytes, not/)
  for (const index of [300, -1, 0.5]) await expect(proveInclusion(index, 300, tilesOfSize(300))).rejects.toThrow(RangeError)
  await expect(proveConsistency(301, 300, tilesOfSize(300))).rejects.toThrow('a tree of 300 leaves does not begin with one of 301')
})
