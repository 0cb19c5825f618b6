import type { TreeHead } from '../store/store.ts'
import { edgeRoot, restoreEdge } from '../tlog/edge.ts'
import { hashBytes, perfectRoot } from '../tlog/merkle.ts'
import { fullWidth, partialTiles, type TilePlace, tilePath, widthAt } from '../tlog/tile-path.ts'

/** A tile is missing, or is not what the tree's root stands for. */
export class TileFault extends Error {
  readonly path: string
  readonly kind: 'missing' | 'wrong'

  constructor(path: string, kind: 'missing' | 'wrong') {
    super(kind === 'missing' ? `${path} is missing` : `${path} is not a tile of the tree that the checkpoint is of`)
    this.path = path
    this.kind = kind
  }
}

/** Hashes that the root vouches for. */
export interface ProvenTiles {
  /** Leaf hash of an entry, 32 bytes. Throws TileFault. */
  leaf(index: number): Promise<Uint8Array>
}

/** Tiles that are kept once they are proven, 8 KiB each. */
const mostKept = 1024

/**
 * Reads tiles and proves each, once: the last ones of all levels make the root, and a full one makes a hash of the tile above. Throws
 * TileFault unless the last ones make `root`. `read` gives undefined for a file that is not there.
 */
export async function proveTiles({ size, root }: TreeHead, read: (path: string) => Promise<Uint8Array | undefined>): Promise<ProvenTiles> {
  const edge = new Map<string, Uint8Array>()
  for (const place of partialTiles(size)) edge.set(tilePath(place), await fetch(place))
  const made = edgeRoot(restoreEdge(size, [...edge.values()]))
  if (!made.equals(root)) throw new TileFault(partialTiles(size).map(tilePath).join(' or '), 'wrong')
  const kept = new Map<string, Uint8Array>()

  async function fetch(place: TilePlace): Promise<Uint8Array> {
    const path = tilePath(place)
    const tile = await read(path)
    if (tile === undefined) throw new TileFault(path, 'missing')
    if (tile.length !== place.width * hashBytes) throw new TileFault(path, 'wrong')
    return tile
  }

  async function proven(level: number, index: number): Promise<Uint8Array> {
    const place = { level, index, width: widthAt(size, level, index) }
    const path = tilePath(place)
    const known = edge.get(path) ?? kept.get(path)
    if (known !== undefined) return known
    const tile = await fetch(place)
    const above = await proven(level + 1, Math.floor(index / fullWidth))
    if (!perfectRoot(tile).equals(hashAt(above, index % fullWidth))) throw new TileFault(path, 'wrong')
    if (kept.size >= mostKept) kept.clear()
    kept.set(path, tile)
    return tile
  }

  return {
    async leaf(index) {
      if (index < 0 || index >= size) throw new RangeError(`a tree of ${size} has no leaf ${index}`)
      return hashAt(await proven(0, Math.floor(index / fullWidth)), index % fullWidth)
    },
  }
}

function hashAt(tile: Uint8Array, place: number): Uint8Array {
  return tile.subarray(place * hashBytes, (place + 1) * hashBytes)
}
