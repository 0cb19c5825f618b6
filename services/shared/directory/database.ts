import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { DirectoryError, sqliteBusy, sqliteCode } from './directory-error.ts'
import { checkValueOf, createHmacKey, keyBytes, newHmacKey, readHmacKey } from './hmac-key.ts'

/** A row as SQLite gives it; columns are read with textOf and friends. */
export type Row = Record<string, SQLOutputValue>

export interface OpenDatabase {
  database: DatabaseSync
  /** What errors call it by. */
  file: string
  hmacKey: Buffer
}

const schemaVersion = 5

const changesTable = `
CREATE TABLE directory_change (
  id INTEGER PRIMARY KEY,
  changed_at TEXT NOT NULL,
  event TEXT NOT NULL,
  team TEXT NOT NULL,
  key_id TEXT NOT NULL,
  settings TEXT NOT NULL CHECK (json_valid(settings))
) STRICT`

// Keys that were destroyed stay, so that their names are never given to others.
const contentKeyTable = `
CREATE TABLE content_key (
  name TEXT PRIMARY KEY,
  team TEXT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL,
  destroyed_at TEXT
) STRICT, WITHOUT ROWID`

// A key's team is plain text: revoked keys outlive their team, so that an id in an old audit record can still be told.
const schema = `
CREATE TABLE team (
  name TEXT PRIMARY KEY,
  models TEXT NOT NULL CHECK (json_valid(models)),
  strict_parameters INTEGER NOT NULL DEFAULT 0,
  weight REAL NOT NULL DEFAULT 1,
  batch INTEGER NOT NULL DEFAULT 0,
  content_key TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  team TEXT NOT NULL,
  hmac BLOB NOT NULL UNIQUE CHECK (length(hmac) = 32),
  label TEXT,
  created_at TEXT NOT NULL,
  revoked_at TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE hmac_key (check_value BLOB NOT NULL) STRICT;
${changesTable};
${contentKeyTable};
PRAGMA user_version = ${schemaVersion};
`

/** What brings a file of the version before to each version. */
const migrations: ReadonlyMap<number, string> = new Map([
  [2, 'ALTER TABLE team ADD COLUMN strict_parameters INTEGER NOT NULL DEFAULT 0'],
  [3, 'ALTER TABLE team ADD COLUMN weight REAL NOT NULL DEFAULT 1; ALTER TABLE team ADD COLUMN batch INTEGER NOT NULL DEFAULT 0'],
  [4, changesTable],
  [5, `ALTER TABLE team ADD COLUMN content_key TEXT NOT NULL DEFAULT ''; ${contentKeyTable}`],
])

/** Waiting for another process stops the event loop: a writer is a short command, a reader may be a gateway. */
const writerWaitMs = 5000
const readerWaitMs = 500

/** Opens `<home>/directory.sqlite` and its key; `create` makes what is missing. Call it within withDirectoryErrors. */
export function openDatabase(home: string, { readOnly, create }: { readOnly: boolean; create: boolean }): OpenDatabase {
  const file = join(home, 'directory.sqlite')
  const keyFile = join(home, 'directory.key')
  if (!existsSync(file)) {
    if (!create) throw new DirectoryError(`There are no teams and keys in ${home}: the platform's first start makes them.`)
    mkdirSync(home, { recursive: true, mode: 0o700 })
    createPrivately(file)
  }
  const database = new DatabaseSync(file, { readOnly, timeout: readOnly ? readerWaitMs : writerWaitMs })
  try {
    if (!readOnly) {
      useWal(database)
      // A revocation that was confirmed holds after a power cut; macOS needs the second to reach the disk itself.
      database.exec('PRAGMA synchronous = FULL; PRAGMA fullfsync = ON')
      for (const path of [file, `${file}-wal`, `${file}-shm`]) if (existsSync(path)) chmodSync(path, 0o600)
      if (create && userVersion(database) === 0) createSchema(database, keyFile)
      migrate(database)
    }
    requireSchema(database, file)
    const hmacKey = readHmacKey(keyFile)
    if (!readOnly) chmodSync(keyFile, 0o600)
    requireKey(database, hmacKey, `${keyFile} does not belong to ${file}: restore both from the same backup.`)
    return { database, file, hmacKey }
  } catch (thrown) {
    database.close()
    throw thrown
  }
}

/** In memory alone: what imageOf has made, or without it an empty one. `mayMigrate`: one of an older version is brought up to date, else refused. Call it within withDirectoryErrors. */
export function openImage(image: Uint8Array | undefined, { file, mayMigrate }: { file: string; mayMigrate: boolean }): OpenDatabase {
  const database = new DatabaseSync(':memory:')
  try {
    const hmacKey = image === undefined ? newHmacKey() : Buffer.from(image.subarray(0, keyBytes))
    if (image === undefined) fill(database, hmacKey)
    else database.deserialize(image.subarray(keyBytes))
    if (mayMigrate) migrate(database)
    requireSchema(database, file)
    requireKey(database, hmacKey, `${file} holds a key that is not its own.`)
    return { database, file, hmacKey }
  } catch (thrown) {
    database.close()
    throw thrown
  }
}

/** All of it in one piece: the key, then SQLite's file format. */
export function imageOf({ database, hmacKey }: OpenDatabase): Buffer {
  const bytes = database.serialize()
  // Of a file in WAL mode these say so, and what is in memory can't be (https://sqlite.org/c3ref/deserialize.html).
  bytes.set([1, 1], 18)
  return Buffer.concat([hmacKey, bytes])
}

/** Runs `body` in one transaction, which an error undoes. `write` locks at once: what body reads stays true until it commits. */
export function transaction<T>(database: DatabaseSync, kind: 'read' | 'write', body: () => T): T {
  database.exec(kind === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN')
  try {
    const result = body()
    database.exec('COMMIT')
    return result
  } catch (thrown) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw thrown
  }
}

export function textOf(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new DirectoryError(`Column ${column} of the directory holds no text.`)
  return value
}

export function optionalTextOf(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : textOf(row, column)
}

export function blobOf(row: Row, column: string): Uint8Array {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw new DirectoryError(`Column ${column} of the directory holds no bytes.`)
  return value
}

export function numberOf(row: Row | undefined, column: string): number {
  const value = row?.[column]
  if (typeof value !== 'number') throw new DirectoryError(`Column ${column} of the directory holds no number.`)
  return value
}

/** An empty file readable by its owner alone is an empty database, and SQLite gives its -wal and -shm the same permissions. */
function createPrivately(file: string): void {
  try {
    // 'wx': closing a descriptor of a file that this process has open already would drop SQLite's locks on it.
    closeSync(openSync(file, 'wx', 0o600))
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
  }
}

/** The switch to WAL doesn't honour the busy timeout when another process makes it at the same time. */
function useWal(database: DatabaseSync): void {
  const deadline = performance.now() + writerWaitMs
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL')
      return
    } catch (thrown) {
      if (sqliteCode(thrown) !== sqliteBusy || performance.now() > deadline) throw thrown
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

function createSchema(database: DatabaseSync, keyFile: string): void {
  transaction(database, 'write', () => {
    if (userVersion(database) === 0) fill(database, createHmacKey(keyFile))
  })
}

function fill(database: DatabaseSync, hmacKey: Buffer): void {
  database.exec(schema)
  database.prepare('INSERT INTO hmac_key (check_value) VALUES (?)').run(checkValueOf(hmacKey))
}

function requireKey(database: DatabaseSync, hmacKey: Buffer, otherwise: string): void {
  const stored = database.prepare('SELECT check_value FROM hmac_key').get()
  if (stored === undefined || !checkValueOf(hmacKey).equals(blobOf(stored, 'check_value'))) throw new DirectoryError(otherwise)
}

function migrate(database: DatabaseSync): void {
  transaction(database, 'write', () => {
    const from = userVersion(database)
    if (from === 0) return
    for (let version = from + 1; version <= schemaVersion; version++) database.exec(`${migrations.get(version) ?? ''}; PRAGMA user_version = ${version}`)
  })
}

function requireSchema(database: DatabaseSync, file: string): void {
  const version = userVersion(database)
  if (version === schemaVersion) return
  if (version === 0) throw new DirectoryError(`${file} is still empty: the first start of the platform fills it.`)
  if (version < schemaVersion) throw new DirectoryError(`${file} was made by an older version: the next start of the platform brings it up to date.`)
  throw new DirectoryError(`${file} was made by a newer version (schema ${version}; this one knows ${schemaVersion}).`)
}

function userVersion(database: DatabaseSync): number {
  return numberOf(database.prepare('PRAGMA user_version').get(), 'user_version')
}
