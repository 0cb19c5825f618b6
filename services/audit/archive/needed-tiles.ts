import { fullWidth, partialTiles, type TilePlace, widthAt } from '../tlog/tile-path.ts'

/**
 * The tiles of hashes that prove the records of some tiles of level 0: those tiles, what is above them, and the last tile of each level,
 * from which the root is made. Lowest level first.
 */
export function neededTiles(levelZero: Iterable<number>, size: number): TilePlace[] {
  const places: TilePlace[] = []
  let indexes = new Set(levelZero)
  const last = partialTiles(size)
  for (let level = 0; fullWidth ** level <= size; level += 1) {
    const above = new Set<number>()
    for (const index of [...indexes].toSorted((a, b) => a - b)) {
      // One that is not full has nothing above it.
      if (widthAt(size, level, index) < fullWidth) continue
      places.push({ level, index, width: fullWidth })
      above.add(Math.floor(index / fullWidth))
    }
    places.push(...last.filter((place) => place.level === level))
    indexes = above
  }
  return places
}
