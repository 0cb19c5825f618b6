import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FullTile } from '../store/store.ts'
import { type Edge, edgeRoot, edgeTile, emptyEdge, extendEdge, restoreEdge } from './edge.ts'
import { hashBytes, leafHash, perfectRoot } from './merkle.ts'
import { referenceRoot } from './test-support/reference-tree.ts'
import { partialTiles } from './tile-path.ts'

const leaves = Array.from({ length: 70_000 }, (_, index) => leafHash(Buffer.from(`entry ${index}`)))
const leavesInHex = leaves.map((leaf) => leaf.toString('hex'))
const from = (start: number, end: number): Buffer => Buffer.concat(leaves.slice(start, end))

/** Grows a tree to the sum of `groups`, and looks after each. */
function grow(groups: readonly number[], look: (edge: Edge) => void = () => {}): { edge: Edge; full: FullTile[] } {
  let edge = emptyEdge
  const full: FullTile[] = []
  for (const group of groups) {
    const extended = extendEdge(edge, from(edge.size, edge.size + group))
    edge = extended.edge
    full.push(...extended.full)
    look(edge)
  }
  return { edge, full }
}

const partialsOf = (edge: Edge): Buffer[] => partialTiles(edge.size).map(({ level }) => edgeTile(edge, level) ?? Buffer.alloc(0))

test('after each group the root is the one that RFC 6962 defines', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 6 }), (groups) => {
      grow(groups, (edge) => expect(edgeRoot(edge).toString('hex')).toBe(referenceRoot(leavesInHex.slice(0, edge.size))))
    }),
    { numRuns: 50 },
  )
  for (let size = 0; size < 70; size++) expect(edgeRoot(extendEdge(emptyEdge, from(0, size)).edge).toString('hex')).toBe(referenceRoot(leavesInHex.slice(0, size)))
})

test('70,000 leaves make the tiles that tlog-tiles names for them, at whatever groups they come', () => {
  for (const groups of [[70_000], [1, 255, 256, 1000, 68_488], Array.from({ length: 280 }, () => 250)]) {
    const { edge, full } = grow(groups)
    expect(edgeRoot(edge).toString('hex')).toBe(referenceRoot(leavesInHex))
    for (const { hashes } of full) expect(hashes.buffer.byteLength).toBe(8192)
    const level0 = full.filter(({ level }) => level === 0)
    expect(level0.map(({ index }) => index)).toEqual(Array.from({ length: 273 }, (_, index) => index))
    for (const { index, hashes } of level0) expect(from(index * 256, (index + 1) * 256).equals(hashes)).toBe(true)
    const level1 = full.filter(({ level }) => level === 1)
    expect(level1.length).toBe(1)
    const above = level0.map(({ hashes }) => perfectRoot(hashes))
    expect(Buffer.concat(above.slice(0, 256)).equals(level1[0]?.hashes ?? Buffer.alloc(0))).toBe(true)
    expect(full.length).toBe(274)
    // In one extension the lowest level comes first; here that is where all came at once.
    if (groups.length === 1) expect(full.map(({ level }) => level)).toEqual([...Array.from({ length: 273 }, () => 0), 1])
    expect(partialsOf(edge).map((tile) => tile.length / hashBytes)).toEqual([112, 17, 1])
    expect(edgeTile(edge, 0)?.equals(from(273 * 256, 70_000))).toBe(true)
    expect(edgeTile(edge, 1)?.equals(Buffer.concat(above.slice(256)))).toBe(true)
    expect(edgeTile(edge, 2)?.equals(perfectRoot(level1[0]?.hashes ?? Buffer.alloc(0)))).toBe(true)
    expect(edgeTile(edge, 3)).toBeUndefined()
  }
})

test('an extension that is forgotten leaves no trace', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 600 }), fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 600 }), (size, dropped, kept) => {
      const { edge } = grow([size])
      const root = edgeRoot(edge)
      extendEdge(edge, from(10_000, 10_000 + dropped))
      expect(edgeRoot(edge).equals(root)).toBe(true)
      const after = extendEdge(edge, from(size, size + kept))
      extendEdge(edge, from(10_000, 10_000 + dropped))
      const wanted = grow([size + kept])
      expect(after.edge).toEqual(wanted.edge)
      expect(after.full).toEqual(wanted.full.slice(-after.full.length || wanted.full.length))
    }),
    { numRuns: 100 },
  )
})

test('an edge can be had back from the stored tiles, and goes on as if nothing had been', () => {
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: 0, max: 69_000 }), fc.integer({ min: 0, max: 600 }), fc.constantFrom(256, 512, 65_536, 65_792)), fc.integer({ min: 0, max: 600 }), (size, more) => {
      const { edge } = grow([size])
      const restored = restoreEdge(size, partialsOf(edge))
      expect(restored).toEqual(edge)
      expect(edgeRoot(restored).equals(edgeRoot(edge))).toBe(true)
      const rest = from(size, size + more)
      const goesOn = extendEdge(restored, rest)
      const wanted = extendEdge(edge, rest)
      expect(edgeRoot(goesOn.edge).equals(edgeRoot(wanted.edge))).toBe(true)
      expect(goesOn.full).toEqual(wanted.full)
      expect(goesOn.edge.tiles).toEqual(wanted.edge.tiles)
    }),
    { numRuns: 30 },
  )
})

test('says what is wrong with tiles that make no edge', () => {
  expect(() => restoreEdge(300, [])).toThrow('a tree of 300 leaves ends in 2 partial tiles, not in 0')
  expect(() => restoreEdge(300, [Buffer.alloc(44 * 32), Buffer.alloc(31)])).toThrow('the last tile of level 1 has 31 bytes, not the 32 of 1 hashes')
  expect(() => extendEdge(emptyEdge, Buffer.alloc(33))).toThrow(RangeError)
})

test('goes on at sizes beyond 32 bits', () => {
  const size = 2 ** 52 + 255
  const stored = partialTiles(size).map(({ width }) => Buffer.alloc(width * hashBytes, 7))
  const { edge, full } = extendEdge(restoreEdge(size, stored), from(0, 2))
  expect(edge.size).toBe(size + 2)
  expect(full.map(({ level, index }) => ({ level, index }))).toEqual([{ level: 0, index: 2 ** 44 }])
  expect(partialTiles(edge.size)).toEqual([
    { level: 0, index: 2 ** 44 + 1, width: 1 },
    { level: 1, index: 2 ** 36, width: 1 },
    { level: 6, index: 0, width: 16 },
  ])
  expect(() => extendEdge(restoreEdge(Number.MAX_SAFE_INTEGER, partialTiles(Number.MAX_SAFE_INTEGER).map(({ width }) => Buffer.alloc(width * hashBytes))), from(0, 1))).toThrow('2^53')
})
