/** Where the resources of a log are, as c2sp.org/tlog-tiles has it, and which of them a tree of some size has. */
export interface TilePlace {
  level: number
  index: number
  /** Hashes, 1 to 256. */
  width: number
}

/** Of a bundle of entries. */
export interface BundlePlace {
  level: 'entries'
  index: number
  width: number
}

/** Hashes of a full tile, and entries of a full bundle. */
export const fullWidth = 256

/** The highest level that a tree of fewer than 2^53 leaves has hashes at. */
export const highestLevel = 6

export const checkpointPath = 'checkpoint'

export function tilePath({ level, index, width }: TilePlace | BundlePlace): string {
  return `tile/${level}/${indexPath(index)}${width === fullWidth ? '' : `.p/${width}`}`
}

/** What a path names; undefined for one that tilePath would not write. */
export function parseTilePath(path: string): TilePlace | BundlePlace | undefined {
  const match = /^tile\/(entries|[0-6])\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(path)
  const [, level, digits, digitsOfWidth] = match ?? []
  if (level === undefined || digits === undefined) return undefined
  const index = Number(digits.replaceAll(/[x/]/g, ''))
  const width = digitsOfWidth === undefined ? fullWidth : Number(digitsOfWidth)
  if (!Number.isSafeInteger(index) || width > fullWidth) return undefined
  const place = level === 'entries' ? { level, index, width } as const : { level: Number(level), index, width }
  // Refuses needless zeros in front, and a full width that is written out.
  return tilePath(place) === path ? place : undefined
}

/** How wide a tile is in a tree of so many leaves: 256, less for the last of its level, 0 where there is none. */
export function widthAt(size: number, level: number, index: number): number {
  return Math.max(0, Math.min(fullWidth, Math.floor(size / fullWidth ** level) - index * fullWidth))
}

/** The last tile of each level that is not full, lowest first. */
export function partialTiles(size: number): TilePlace[] {
  const places: TilePlace[] = []
  for (let level = 0; fullWidth ** level <= size; level++) {
    const hashes = Math.floor(size / fullWidth ** level)
    if (hashes % fullWidth > 0) places.push({ level, index: Math.floor(hashes / fullWidth), width: hashes % fullWidth })
  }
  return places
}

/** All tiles of a tree, level by level from the lowest. */
export function* tilesOf(size: number): Generator<TilePlace, void, undefined> {
  for (let level = 0; fullWidth ** level <= size; level++) {
    for (let index = 0; widthAt(size, level, index) > 0; index++) yield { level, index, width: widthAt(size, level, index) }
  }
}

/** All bundles of entries. */
export function* bundlesOf(size: number): Generator<BundlePlace, void, undefined> {
  for (let index = 0; widthAt(size, 0, index) > 0; index++) yield { level: 'entries', index, width: widthAt(size, 0, index) }
}

/** 1234067 is x001/x234/067. */
function indexPath(index: number): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/[0-9]{3}/g) ?? []
  return groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/')
}
