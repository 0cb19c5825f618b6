import type { FullTile } from '../store/store.ts'
import { emptyRoot, hashBytes, hashPair, perfectRoot } from './merkle.ts'
import { fullWidth, partialTiles } from './tile-path.ts'

/**
 * The right edge of a growing tree: all that is needed to append to it and to know its root. It never changes: what extends it makes
 * another, so that an append which was not committed is undone by forgetting its edge.
 */
export interface Edge {
  /** Leaves. */
  readonly size: number
  /** By level, the hashes of the last tile, 0 to 255 of them, 32 bytes each. */
  readonly tiles: readonly Buffer[]
  /** At bit n of `size`, where it is 1: the root of the 2^n leaves that it stands for; where it is 0: zeros. 32 bytes each, lowest first. */
  readonly roots: Buffer
}

export const emptyEdge: Edge = { size: 0, tiles: [], roots: Buffer.alloc(0) }

/** Appends leaf hashes, 32 bytes each. `full` are the tiles that they make full, lowest level first, each in memory of its own. */
export function extendEdge(edge: Edge, leafHashes: Uint8Array): { edge: Edge; full: FullTile[] } {
  if (leafHashes.length % hashBytes !== 0) throw new RangeError('leaf hashes have 32 bytes each')
  const count = leafHashes.length / hashBytes
  const size = edge.size + count
  if (!Number.isSafeInteger(size)) throw new RangeError('a tree has fewer than 2^53 leaves')
  const roots = Buffer.alloc(hashBytes * bits(size))
  edge.roots.copy(roots)
  const tiles: GrowingTile[] = edge.tiles.map((tile, level) => ({ level, index: Math.floor(edge.size / fullWidth ** (level + 1)), width: tile.length / hashBytes, hashes: room(tile) }))
  const full: FullTile[] = []

  const tileOf = (level: number): GrowingTile => (tiles[level] ??= { level, index: 0, width: 0, hashes: room() })
  const put = (level: number, from: Buffer, at: number): void => {
    const tile = tileOf(level)
    from.copy(tile.hashes, tile.width * hashBytes, at, at + hashBytes)
    tile.width++
    if (tile.width < fullWidth) return
    full.push({ level, index: tile.index++, hashes: alone(tile.hashes) })
    tile.width = 0
  }

  const pair = Buffer.alloc(2 * hashBytes)
  const leaves = Buffer.from(leafHashes.buffer, leafHashes.byteOffset, leafHashes.byteLength)
  for (let leaf = 0; leaf < count; ) {
    let left = edge.size + leaf
    let height = 0
    if (left % fullWidth === 0 && count - leaf >= fullWidth) {
      // A whole tile at once: a third faster, which counts where a log is verified.
      const hashes = alone(leaves.subarray(leaf * hashBytes, (leaf + fullWidth) * hashBytes))
      full.push({ level: 0, index: tileOf(0).index++, hashes })
      perfectRoot(hashes).copy(pair, hashBytes)
      put(1, pair, hashBytes)
      left /= fullWidth
      height = 8
      leaf += fullWidth
    } else {
      leaves.copy(pair, hashBytes, leaf * hashBytes, (leaf + 1) * hashBytes)
      put(0, pair, hashBytes)
      leaf++
    }
    while (left % 2 === 1) {
      roots.copy(pair, 0, height * hashBytes, (height + 1) * hashBytes)
      hashPair(pair, 0, pair, hashBytes)
      height++
      left = (left - 1) / 2
      if (height % 8 === 0) put(height / 8, pair, hashBytes)
    }
    pair.copy(roots, height * hashBytes, hashBytes)
  }
  for (let rest = size, height = 0; rest > 0; rest = Math.floor(rest / 2), height++) {
    if (rest % 2 === 0) roots.fill(0, height * hashBytes, (height + 1) * hashBytes)
  }
  full.sort((a, b) => a.level - b.level || a.index - b.index)
  return { edge: { size, tiles: tiles.map((tile) => Buffer.from(tile.hashes.subarray(0, tile.width * hashBytes))), roots }, full }
}

/** The root hash of the whole tree, 32 bytes. */
export function edgeRoot({ size, roots }: Edge): Buffer {
  if (size === 0) return emptyRoot()
  const pair = Buffer.alloc(2 * hashBytes)
  let first = true
  for (let rest = size, height = 0; rest > 0; rest = Math.floor(rest / 2), height++) {
    if (rest % 2 === 0) continue
    if (first) roots.copy(pair, hashBytes, height * hashBytes, (height + 1) * hashBytes)
    else {
      roots.copy(pair, 0, height * hashBytes, (height + 1) * hashBytes)
      hashPair(pair, 0, pair, hashBytes)
    }
    first = false
  }
  return pair.subarray(hashBytes)
}

/**
 * The edge of a tree from its stored hashes: those of each of partialTiles(size), in that order. Whether they are the right ones, its
 * root tells.
 */
export function restoreEdge(size: number, stored: readonly Uint8Array[]): Edge {
  const places = partialTiles(size)
  if (stored.length !== places.length) throw new RangeError(`a tree of ${size} leaves ends in ${places.length} partial tiles, not in ${stored.length}`)
  const levels = size === 0 ? 0 : Math.ceil(bits(size) / 8)
  const tiles = Array.from({ length: levels }, () => Buffer.alloc(0))
  const roots = Buffer.alloc(hashBytes * bits(size))
  for (const [at, { level, width }] of places.entries()) {
    const hashes = Buffer.from(stored[at] ?? [])
    if (hashes.length !== width * hashBytes) throw new RangeError(`the last tile of level ${level} has ${hashes.length} bytes, not the ${width * hashBytes} of ${width} hashes`)
    tiles[level] = hashes
    let start = 0
    for (let bit = 7; bit >= 0; bit--) {
      if ((width & (1 << bit)) === 0) continue
      const end = start + hashBytes * (1 << bit)
      perfectRoot(hashes.subarray(start, end)).copy(roots, (level * 8 + bit) * hashBytes)
      start = end
    }
  }
  return { size, tiles, roots }
}

/** The hashes of a partial tile of this edge; undefined where the tree has none at that level. */
export function edgeTile(edge: Edge, level: number): Buffer | undefined {
  const tile = edge.tiles[level]
  return tile === undefined || tile.length === 0 ? undefined : tile
}

interface GrowingTile {
  level: number
  index: number
  width: number
  hashes: Buffer
}

/** How many binary digits a number below 2^53 has. */
function bits(size: number): number {
  return size === 0 ? 0 : size.toString(2).length
}

/** Small buffers share memory of 64 KiB, all of which would go along to another thread. */
function alone(hashes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(hashes.length)
  hashes.copy(copy)
  return copy
}

function room(tile?: Buffer): Buffer {
  const hashes = Buffer.allocUnsafe(fullWidth * hashBytes)
  tile?.copy(hashes)
  return hashes
}
