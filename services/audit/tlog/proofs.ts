import { MalformedError } from './malformed.ts'
import { emptyRoot, hashBytes, nodeHash, perfectRoot } from './merkle.ts'
import { fullWidth, type TilePlace, tilePath, widthAt } from './tile-path.ts'

/**
 * Makes the proofs of RFC 6962 (2.1.1 and 2.1.2) from the tiles of a log. What checks them is in verify-proofs.ts and shares nothing with
 * this but the hash of a node.
 */

/** The hashes of a tile, 32 bytes each; undefined when there is no such tile. */
export type ReadTile = (level: number, index: number, width: number) => Promise<Uint8Array | undefined>

/** A tile that a proof needs is not there. */
export class MissingTileError extends Error {}

/** Leaves from one up to, not with, another: `end - start` is not above the largest power of two that divides `start`. */
interface Span {
  start: number
  end: number
}

/**
 * The proof that the leaf at `index` is in the tree of `size` leaves: the leaf's sibling first, the root's child last.
 * Throws RangeError when there is no such leaf, MissingTileError, and MalformedError for a tile of another length.
 */
export async function proveInclusion(index: number, size: number, readTile: ReadTile): Promise<Buffer[]> {
  if (!isSize(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) throw new RangeError(`a tree of ${size} leaves has no leaf ${index}`)
  const spans: Span[] = []
  for (let start = 0, end = size; end - start > 1; ) {
    const middle = start + powerBelow(end - start)
    if (index < middle) {
      spans.unshift({ start: middle, end })
      end = middle
    } else {
      spans.unshift({ start, end: middle })
      start = middle
    }
  }
  return await hashSpans(spans, size, readTile)
}

/**
 * The proof that the tree of `size` leaves begins with that of `from` leaves. Empty when they are the same or `from` is 0.
 * Throws RangeError when it does not, MissingTileError, and MalformedError for a tile of another length.
 */
export async function proveConsistency(from: number, size: number, readTile: ReadTile): Promise<Buffer[]> {
  if (!isSize(from) || !isSize(size) || from > size) throw new RangeError(`a tree of ${size} leaves does not begin with one of ${from}`)
  if (from === 0 || from === size) return []
  const spans: Span[] = []
  let start = 0
  let end = size
  while (from < end) {
    const middle = start + powerBelow(end - start)
    if (from <= middle) {
      spans.unshift({ start: middle, end })
      end = middle
    } else {
      spans.unshift({ start, end: middle })
      start = middle
    }
  }
  // What is left is a whole subtree of both; where it is all of the old tree, its root is known already.
  if (start > 0) spans.unshift({ start, end })
  return await hashSpans(spans, size, readTile)
}

/** The root of the first `size` leaves. */
export async function rootFromTiles(size: number, readTile: ReadTile): Promise<Buffer> {
  if (!isSize(size)) throw new RangeError(`there is no tree of ${size} leaves`)
  const [root] = await hashSpans(size === 0 ? [] : [{ start: 0, end: size }], size, readTile)
  return root ?? emptyRoot()
}

async function hashSpans(spans: readonly Span[], size: number, readTile: ReadTile): Promise<Buffer[]> {
  const subtrees = spans.map((span) => perfectSubtrees(span))
  const places = new Map(subtrees.flat().map((subtree) => [tilePath(tileOf(subtree, size)), tileOf(subtree, size)]))
  const tiles = new Map(await Promise.all(Array.from(places, async ([path, place]) => [path, await read(place, readTile)] as const)))
  return subtrees.map((parts) => {
    const hashes = parts.map((subtree) => {
      const first = (subtree.index * 2 ** (subtree.height % 8)) % fullWidth
      const tile = tiles.get(tilePath(tileOf(subtree, size))) ?? Buffer.alloc(0)
      return perfectRoot(tile.subarray(first * hashBytes, (first + 2 ** (subtree.height % 8)) * hashBytes))
    })
    return hashes.reduceRight((right, left) => nodeHash(left, right))
  })
}

/** The 2^height leaves from index * 2^height on. */
interface Subtree {
  height: number
  index: number
}

function perfectSubtrees({ start, end }: Span): Subtree[] {
  const subtrees: Subtree[] = []
  for (let at = start; at < end; ) {
    const leaves = powerUpTo(end - at)
    subtrees.push({ height: Math.log2(leaves), index: at / leaves })
    at += leaves
  }
  return subtrees
}

/** The tile that holds the lowest hashes of a subtree that are stored. */
function tileOf({ height, index }: Subtree, size: number): TilePlace {
  const level = Math.floor(height / 8)
  const tile = Math.floor((index * 2 ** (height % 8)) / fullWidth)
  return { level, index: tile, width: widthAt(size, level, tile) }
}

/** A partial tile may be gone when the log has grown since; then it is the beginning of the full one. */
async function read(place: TilePlace, readTile: ReadTile): Promise<Uint8Array> {
  const bytes = place.width * hashBytes
  let tile = await readTile(place.level, place.index, place.width)
  if (tile === undefined && place.width < fullWidth) tile = (await readTile(place.level, place.index, fullWidth))?.subarray(0, bytes)
  if (tile === undefined) throw new MissingTileError(`${tilePath(place)} is missing`)
  if (tile.length !== bytes) throw new MalformedError(`${tilePath(place)} has ${tile.length} bytes, not ${bytes}`)
  return tile
}

function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size >= 0
}

/** The largest power of two that is not above `count`, which is at least 1. */
function powerUpTo(count: number): number {
  return 2 ** (count.toString(2).length - 1)
}

/** The largest power of two below `count`, which is at least 2. */
function powerBelow(count: number): number {
  return powerUpTo(count - 1)
}
