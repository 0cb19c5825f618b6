import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { encodeBundle } from '../tlog/bundle.ts'
import { databaseName, type HeadRow, headReader, openForReading } from '../store/folder/database.ts'
import { isMissing } from '../store/folder/place-file.ts'
import { createTail, type Tail } from '../store/folder/tail.ts'
import { type BundlePlace, checkpointPath, fullWidth, type TilePlace, tilePath } from '../tlog/tile-path.ts'

/** What there is to check: a folder of tlog-tiles, with the database of its writer or without (a copy that was made of what is served). */
export interface LogSource {
  /** What the writer has committed; undefined without its database. */
  readonly head: HeadRow | undefined
  /** The file, read before the database: it is never ahead of it. */
  readonly checkpointFile: string | undefined
  /** A file as it is. */
  file(path: string): Promise<Uint8Array | undefined>
  /** A full tile, from its file or the writer's database. */
  tile(place: TilePlace): Promise<Uint8Array | undefined>
  bundle(place: BundlePlace): Promise<Uint8Array | undefined>
  /** Hash of an entry that was pruned before its tile was full. */
  prunedHash(index: number): Uint8Array | undefined
  close(): void
}

/** Opens the log of a folder as it is at this moment; its service may be running. Undefined when there is none. */
export async function openLogSource(folder: string): Promise<LogSource | undefined> {
  const read = async (path: string): Promise<Buffer | undefined> => {
    try {
      return await readFile(join(folder, path))
    } catch (thrown) {
      if (isMissing(thrown)) return undefined
      throw thrown
    }
  }
  const hasDatabase = await access(join(folder, databaseName)).then(
    () => true,
    () => false,
  )
  const checkpointFile = (await read(checkpointPath))?.toString('utf8')
  if (!hasDatabase && checkpointFile === undefined) return undefined
  const writer = hasDatabase ? snapshot(folder) : undefined
  return {
    head: writer?.head,
    checkpointFile,
    file: read,
    async tile(place) {
      return (place.width === fullWidth ? writer?.tail.tile(place.level, place.index) : undefined) ?? (await read(tilePath(place)))
    },
    async bundle(place) {
      const first = place.index * fullWidth
      if (writer === undefined || first < writer.head.moved) return await read(tilePath(place))
      return encodeBundle(writer.tail.entries(first, first + place.width))
    },
    prunedHash: (index) => writer?.tail.prunedHash(index),
    close: () => writer?.database.close(),
  }
}

/** The database in one transaction: what is moved out and dropped meanwhile is still there. */
function snapshot(folder: string): { database: DatabaseSync; head: HeadRow; tail: Tail } {
  const database = openForReading(folder)
  try {
    database.exec('BEGIN')
    return { database, head: headReader(database)(), tail: createTail(database) }
  } catch (thrown) {
    database.close()
    throw thrown
  }
}
