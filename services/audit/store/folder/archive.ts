import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { decodeBundle, encodeBundle } from '../../tlog/bundle.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { hashBytes, perfectRoot } from '../../tlog/merkle.ts'
import { parseNote } from '../../tlog/note.ts'
import { checkpointPath, fullWidth, highestLevel, partialTiles, tilePath, widthAt } from '../../tlog/tile-path.ts'
import { busyMs, headReader } from './database.ts'
import { createFilePlacer, listIfThere, readIfThere } from './place-file.ts'
import { createTail } from './tail.ts'

/** The files of a log's folder, beside the thread that commits: reads, moves out what is full, and serves what was published. */
export interface Archive {
  /** Entries of bundle `index` that are committed, as a bundle; and how many the log has. */
  bundle(index: number): { size: number; width: number; bytes: Uint8Array | undefined }
  tile(place: { level: number; index: number; width: number }): Uint8Array | undefined
  checkpoint(): string | undefined
  /** Moves full bundles and tiles to files, some at a time. `moved`: entries for which that is done; `more`: call again. */
  moveOut(): { moved: number; more: boolean }
  /** Writes the files of the checkpoint that is published: partial tiles and bundle of its size, then itself. */
  serve(checkpoint: string): void
  /** The same of the one that is published, at start. */
  serveAnew(): void
  prune(indexes: readonly number[]): void
  /** Copies SQLite's WAL to the database, as far as is possible beside those who write and read. */
  fold(): void
}

/** Bundles that one call moves. */
const mostMoved = 32
/** How long the commits may wait for the write-ahead log to be emptied, in milliseconds. */
const walWaitMs = 20

export function createArchive(folder: string, database: DatabaseSync): Archive {
  const readHead = headReader(database)
  const freePages = database.prepare('PRAGMA freelist_count')
  const tail = createTail(database)
  const files = createFilePlacer(folder)
  /** By level from 1, the hashes known of the last tile: each is that of a full tile below, so that none ever changes. */
  const known = new Map<number, { index: number; hashes: Buffer }>()
  let moved = readHead().moved
  /** Something that was pruned may stand in the write-ahead log. */
  let walFull = false

  const read = (path: string): Uint8Array | undefined => readIfThere(join(folder, path))

  function fullTile(level: number, index: number): Uint8Array | undefined {
    return tail.tile(level, index) ?? read(tilePath({ level, index, width: fullWidth }))
  }

  /** The tile as far as the log has it. */
  function hashesOf(level: number, index: number, width: number): Buffer | undefined {
    if (level === 0) return tail.hashes(index * fullWidth, index * fullWidth + width)
    const before = known.get(level)
    const hashes = [before?.index === index ? before.hashes : Buffer.alloc(0)]
    for (let at = (hashes[0]?.length ?? 0) / hashBytes; at < width; at += 1) {
      const below = fullTile(level - 1, index * fullWidth + at)
      if (below === undefined) return undefined
      hashes.push(perfectRoot(below))
    }
    const all = Buffer.concat(hashes)
    known.set(level, { index, hashes: all })
    return all
  }

  function tile({ level, index, width }: { level: number; index: number; width: number }): Uint8Array | undefined {
    const there = widthAt(readHead().size, level, index)
    if (width > there || width < 1 || level > highestLevel) return undefined
    const hashes = there === fullWidth ? fullTile(level, index) : hashesOf(level, index, there)
    return hashes?.subarray(0, width * hashBytes)
  }

  function bundle(index: number): { size: number; width: number; bytes: Uint8Array | undefined } {
    // One snapshot: the rows of what was moved could go between two questions.
    database.exec('BEGIN')
    try {
      const { size, moved: gone } = readHead()
      const width = widthAt(size, 0, index)
      if (index * fullWidth < Math.max(gone, moved)) return { size, width, bytes: read(tilePath({ level: 'entries', index, width: fullWidth })) }
      return { size, width, bytes: encodeBundle(tail.entries(index * fullWidth, index * fullWidth + width)) }
    } finally {
      database.exec('COMMIT')
    }
  }

  /** Once a tile is full, nobody needs the narrower ones any more. */
  function dropPartials(level: number | 'entries', index: number): void {
    files.removeFolder(`${fullPath(level, index)}.p`)
  }

  function dropOtherPartials(level: number | 'entries', index: number, width: number): void {
    const partials = `${fullPath(level, index)}.p`
    for (const name of listIfThere(join(folder, partials))) if (name !== String(width)) rmSync(join(folder, partials, name), { force: true })
  }

  function moveOut(): { moved: number; more: boolean } {
    const { size } = readHead()
    const from = moved
    const to = Math.min(Math.floor(size / fullWidth) * fullWidth, from + mostMoved * fullWidth)
    if (to <= from) return { moved, more: false }
    const placed: { level: number | 'entries'; index: number }[] = []
    for (let index = from / fullWidth; index < to / fullWidth; index += 1) {
      files.place(tilePath({ level: 'entries', index, width: fullWidth }), encodeBundle(tail.entries(index * fullWidth, (index + 1) * fullWidth)))
      placed.push({ level: 'entries', index })
    }
    for (let level = 0; level <= highestLevel; level += 1) {
      const span = fullWidth ** (level + 1)
      for (let index = Math.floor(from / span); index < Math.floor(to / span); index += 1) {
        const hashes = fullTile(level, index)
        if (hashes === undefined) throw new Error(`${tilePath({ level, index, width: fullWidth })} is neither a file nor in the database`)
        files.place(tilePath({ level, index, width: fullWidth }), hashes)
        placed.push({ level, index })
      }
    }
    files.sync()
    for (const { level, index } of placed) dropPartials(level, index)
    moved = to
    return { moved, more: to < Math.floor(size / fullWidth) * fullWidth }
  }

  function serve(note: string): void {
    const size = Math.min(sizeOf(note), readHead().size)
    for (const place of partialTiles(size)) {
      const hashes = tile(place)
      if (hashes === undefined) throw new Error(`${tilePath(place)} can not be made: a tile below it is gone`)
      // Where the log has gone on and made it full, the full one is moved out below.
      if (widthAt(readHead().size, place.level, place.index) < fullWidth) files.place(tilePath(place), hashes)
    }
    const index = Math.floor(size / fullWidth)
    const width = size % fullWidth
    const last = width === 0 ? undefined : bundle(index)
    if (last?.bytes !== undefined && last.width < fullWidth) {
      files.place(tilePath({ level: 'entries', index, width }), encodeBundle(decodeBundle(last.bytes, last.width).slice(0, width)))
    }
    while (moveOut().more);
    if (walFull) emptyWal()
    // Never ahead of what it speaks of.
    files.sync()
    files.place(checkpointPath, note)
    files.sync()
  }

  function prune(unsorted: readonly number[]): void {
    const indexes = unsorted.toSorted((a, b) => a - b)
    const byBundle = Map.groupBy(indexes.filter((index) => index < moved), (index) => Math.floor(index / fullWidth))
    for (const [index, gone] of byBundle) {
      const path = tilePath({ level: 'entries', index, width: fullWidth })
      const bytes = read(path)
      if (bytes === undefined) throw new Error(`${path} is gone`)
      const entries = decodeBundle(bytes)
      // A power failure may have brought some back.
      dropPartials('entries', index)
      const places = gone.map((entry) => entry - index * fullWidth).filter((place) => entries[place] !== undefined)
      if (places.length === 0) continue
      for (const place of places) entries[place] = undefined
      files.place(path, encodeBundle(entries))
      // One after the other, also at a power failure.
      files.sync()
    }
    // Rows of what was moved may still be there.
    tail.prune(indexes)
    for (const [index, gone] of Map.groupBy(indexes.filter((at) => at >= moved), (at) => Math.floor(at / fullWidth))) prunePartials(index, new Set(gone))
    files.sync()
    // What was pruned is still in free pages, and in those that the WAL has from before. Who prunes does it again when this is not reached.
    if (Number(freePages.get()?.['freelist_count'] ?? 0) > 0) database.exec('VACUUM')
    emptyWal()
  }

  /** Those of checkpoints before the newest too: somebody may just be reading the log by one. */
  function prunePartials(index: number, gone: ReadonlySet<number>): void {
    for (const width of listIfThere(join(folder, `${fullPath('entries', index)}.p`)).map(Number)) {
      const path = tilePath({ level: 'entries', index, width })
      const bytes = read(path)
      const entries = bytes === undefined ? [] : decodeBundle(bytes, width)
      const kept = entries.map((entry, at) => (gone.has(index * fullWidth + at) ? undefined : entry))
      if (kept.some((entry, at) => entry !== entries[at])) files.place(path, encodeBundle(kept))
    }
  }

  /** What was dropped from the database still stands in its write-ahead log. */
  function emptyWal(): void {
    // Who reads for long, a check of the whole log for example, would make it wait, and the commits with it: it is tried again.
    database.exec(`PRAGMA busy_timeout = ${walWaitMs}`)
    walFull = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] !== 0
    database.exec(`PRAGMA busy_timeout = ${busyMs}`)
  }

  /** Narrower copies go last: what the file of the checkpoint speaks of is there at any moment, also where this is cut off or the disk is full. */
  function serveAnew(): void {
    const { size, checkpoint } = readHead()
    // As it may have left undone, too.
    walFull = true
    if (checkpoint !== undefined) serve(checkpoint)
    const served = checkpoint === undefined ? 0 : sizeOf(checkpoint)
    for (const { level, index } of partialTiles(size)) dropOtherPartials(level, index, widthAt(served, level, index))
    const last = Math.floor(size / fullWidth)
    dropOtherPartials('entries', last, widthAt(served, 0, last))
  }

  return { bundle, tile, checkpoint: () => readHead().checkpoint, moveOut, serve, prune, serveAnew, fold: () => database.exec('PRAGMA wal_checkpoint(PASSIVE)') }
}

/** Where a full tile or bundle is. */
function fullPath(level: number | 'entries', index: number): string {
  return level === 'entries' ? tilePath({ level, index, width: fullWidth }) : tilePath({ level, index, width: fullWidth })
}

/** Entries that a checkpoint is of. */
function sizeOf(note: string): number {
  try {
    return parseCheckpoint(parseNote(note).text).size
  } catch {
    return 0 // no signed checkpoint: nothing is served with it
  }
}
