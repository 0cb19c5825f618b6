import { chmodSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/** Another version is another index: the old one is thrown away, and the new one made from the log. */
const schemaVersion = 2

// Texts that come again and again are numbers into `names`. `requests.n` counts requests in the order in which they began, which is that of
// time; `postings.term` is a dimension and a name (dimensions.ts), its bits are positions within a block (posting.ts). They
// lie block by block, so that what is written lies together: by term, each batch would change a page for each of thousands of names.
const schema = `
CREATE TABLE state (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE requests (
  n INTEGER PRIMARY KEY,
  begin_index INTEGER NOT NULL,
  began_ms INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  instance INTEGER NOT NULL,
  team INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  model INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  end_index INTEGER,
  ended_ms INTEGER,
  outcome INTEGER NOT NULL,
  finish_reason INTEGER NOT NULL,
  error INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  first_token_us INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  worker_us INTEGER NOT NULL,
  worker INTEGER NOT NULL
) STRICT;
CREATE INDEX open_requests ON requests (n) WHERE end_index IS NULL;
CREATE TABLE request_ids (generation INTEGER NOT NULL, hash INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (generation, hash, n)) STRICT, WITHOUT ROWID;
CREATE TABLE postings (term INTEGER NOT NULL, block INTEGER NOT NULL, bits BLOB NOT NULL, PRIMARY KEY (block, term)) STRICT, WITHOUT ROWID;
CREATE TABLE events (log_index INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, type INTEGER NOT NULL, team INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
CREATE INDEX events_by_type ON events (type, log_index);
CREATE INDEX events_by_team ON events (team, type, log_index);
CREATE INDEX events_of_team ON events (team, log_index);
CREATE TABLE orphan_ends (log_index INTEGER PRIMARY KEY) STRICT;
CREATE TABLE times (log_index INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE usage (
  day INTEGER NOT NULL,
  team INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  model INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  worker_us INTEGER NOT NULL,
  PRIMARY KEY (day, team, key_id, subject, model)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = ${schemaVersion};
`

/** Opens the file of an index, as an empty one where there is none that can be used. */
export function openDatabase(file: string): DatabaseSync {
  try {
    return openUsable(file)
  } catch (thrown) {
    if (!isUnusable(thrown)) throw thrown
    removeDatabase(file)
    return openUsable(file)
  }
}

/** Removes the file of an index that no process has open. */
export function removeDatabase(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${suffix}`, { force: true })
}

/** Not a database, damaged, or of another version: as opposed to a disk that is full, say. */
export function isUnusable(thrown: unknown): boolean {
  if (thrown instanceof OtherVersionError) return true
  const code = thrown instanceof Error && 'errcode' in thrown && typeof thrown.errcode === 'number' ? thrown.errcode & 0xff : 0
  return code === sqliteCorrupt || code === sqliteNotADatabase
}

const sqliteCorrupt = 11
const sqliteNotADatabase = 26

class OtherVersionError extends Error {}

function openUsable(file: string): DatabaseSync {
  const database = new DatabaseSync(file)
  try {
    chmodSync(file, 0o600)
    // What a power failure takes is read from the log again; transactions keep what is there consistent after a crash of the process.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4000')
    // What was pruned is gone from free pages, too.
    database.exec('PRAGMA secure_delete = ON')
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
    if (version === 0) database.exec(`BEGIN; ${schema}; COMMIT`)
    else if (version !== schemaVersion) throw new OtherVersionError(`version ${version}`)
    return database
  } catch (thrown) {
    database.close()
    throw thrown
  }
}
