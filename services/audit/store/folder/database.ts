import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TreeHead } from '../store.ts'
import { emptyRoot } from '../../tlog/merkle.ts'

export const databaseName = 'log.sqlite'

/** Of log.sqlite: another number means that another version of Intramuros wrote it. */
const schemaVersion = 1
/** SQLite's number for FULL: a commit is on the disk when it returns. */
const synchronousFull = 2
/** Bytes of a page: a group of records takes some; larger ones make a single record dear. */
export const pageBytes = 8192
/**
 * Pages in the WAL from which on a commit copies them to the database itself, and makes its caller wait for that: 32 MB. The archive's thread
 * does it long before; this starts the WAL again at its front.
 */
const mostWalPages = 4096
/** How long a connection waits for another's transaction, in milliseconds. There is one other in this process; it takes milliseconds. */
export const busyMs = 5000

/** The row of the log: everything but `moved` is what a LogStore tells. */
export interface HeadRow extends TreeHead {
  /** Entries whose bundles and tiles are files, and no longer needed here. A multiple of 256. */
  moved: number
  checkpoint: string | undefined
}

/** What stands in log.sqlite is no log, or can't be trusted to keep one. No restart mends it. */
export class DatabaseUnusableError extends Error {
  override readonly name = 'DatabaseUnusableError'
}

/**
 * Opens the database of a log's folder for writing; makes it when there is none. Several connections of one process may write, one at a
 * time. Throws DatabaseUnusableError.
 */
export function openDatabase(folder: string): DatabaseSync {
  const file = join(folder, databaseName)
  makeFile(file)
  const database = new DatabaseSync(file, { timeout: busyMs })
  try {
    settle(database)
    createTables(database)
    return database
  } catch (thrown) {
    database.close()
    throw thrown
  }
}

/** For its owner alone. One that is there is not even opened: to close it would drop the locks that this process has on it (POSIX). */
function makeFile(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
  }
}

/** Opens it for reading alone; the service may be running. */
export function openForReading(folder: string): DatabaseSync {
  return new DatabaseSync(join(folder, databaseName), { timeout: busyMs, readOnly: true })
}

function settle(database: DatabaseSync): void {
  database.exec(`PRAGMA page_size = ${pageBytes}`)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = FULL')
  // macOS: fsync alone leaves data in the disk's cache.
  database.exec('PRAGMA fullfsync = ON')
  database.exec('PRAGMA checkpoint_fullfsync = ON')
  database.exec(`PRAGMA wal_autocheckpoint = ${mostWalPages}`)
  // Free pages are not overwritten each time that a group has become a file, which would double what a commit writes: prune() does away with them.
  database.exec('PRAGMA secure_delete = FAST')
  assertDurable(database)
}

/**
 * That a commit of this connection is on the disk when it returns. In WAL mode, synchronous=NORMAL, which some builds default to, syncs
 * nothing at a commit, and a power failure would take back what was acknowledged. Throws DatabaseUnusableError.
 */
export function assertDurable(database: DatabaseSync): void {
  const [mode, synchronous] = ['journal_mode', 'synchronous'].map((name) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0])
  if (mode !== 'wal' || synchronous !== synchronousFull) {
    throw new DatabaseUnusableError(`SQLite does not keep ${databaseName} as it must: journal_mode=${String(mode)}, synchronous=${String(synchronous)}, not wal and ${synchronousFull} (FULL).`)
  }
}

function createTables(database: DatabaseSync): void {
  const version = Object.values(database.prepare('PRAGMA user_version').get() ?? {})[0]
  if (version === schemaVersion) return
  if (version !== 0) throw new DatabaseUnusableError(`${databaseName} was written by another version of Intramuros (${String(version)}, not ${schemaVersion}).`)
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec(`
      CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL, moved INTEGER NOT NULL, checkpoint TEXT) STRICT;
      CREATE TABLE IF NOT EXISTS tail (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, bundle BLOB NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS tile (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS pruned (entry INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
    `)
    database.prepare('INSERT OR IGNORE INTO head VALUES (1, 0, ?, 0, NULL)').run(emptyRoot())
    database.exec(`PRAGMA user_version = ${schemaVersion}`)
    database.exec('COMMIT')
  } catch (thrown) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw thrown
  }
}

/** Reads the log's row. Throws DatabaseUnusableError when it is gone or malformed. */
export function headReader(database: DatabaseSync): () => HeadRow {
  const select = database.prepare('SELECT size, root, moved, checkpoint FROM head')
  return () => {
    const { size, root, moved, checkpoint } = select.get() ?? {}
    if (typeof size !== 'number' || typeof moved !== 'number' || !(root instanceof Uint8Array)) throw new DatabaseUnusableError(`${databaseName} does not say how long the log is.`)
    return { size, root, moved, checkpoint: typeof checkpoint === 'string' ? checkpoint : undefined }
  }
}

/** The key of a full tile's row. Fewer than 2^44 tiles of a level are in a log of fewer than 2^52 entries. */
export function tileId(level: number, index: number): number {
  return level * 2 ** 44 + index
}
