import type { Run } from './connection.ts'
import { PostgresError } from './postgres-error.ts'
import { emptyRoot } from '../../tlog/merkle.ts'

/**
 * The tables, step by step from the first version to the newest. A step that was released is never changed: another follows it.
 * docs/audit-postgres.md has them in words.
 */
const steps: readonly (readonly string[])[] = [
  [
    `CREATE TABLE intramuros_audit.head (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      size bigint NOT NULL CHECK (size >= 0),
      root bytea NOT NULL CHECK (octet_length(root) = 32),
      writer uuid
    )`,
    `COMMENT ON TABLE intramuros_audit.head IS 'One row: entries of the log, its RFC 6962 root hash, and the token of the process that writes it.'`,
    `INSERT INTO intramuros_audit.head (size, root) VALUES (0, '\\x${emptyRoot().toString('hex')}')`,

    `CREATE TABLE intramuros_audit.entry (
      index bigint PRIMARY KEY CHECK (index >= 0),
      data bytea CHECK (octet_length(data) BETWEEN 1 AND 65535),
      hash bytea CHECK (octet_length(hash) = 32),
      CHECK ((data IS NULL) <> (hash IS NULL))
    )`,
    `COMMENT ON TABLE intramuros_audit.entry IS 'The entries: canonical JSON of a record in data, or, once it was pruned, its RFC 6962 leaf hash in hash.'`,

    `CREATE TABLE intramuros_audit.tile (
      level smallint CHECK (level BETWEEN 0 AND 6),
      index bigint CHECK (index >= 0),
      hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
      root bytea NOT NULL CHECK (octet_length(root) = 32),
      PRIMARY KEY (level, index)
    )`,
    `ALTER TABLE intramuros_audit.tile ALTER COLUMN hashes SET STORAGE EXTERNAL`,
    `COMMENT ON TABLE intramuros_audit.tile IS 'The full tiles of c2sp.org/tlog-tiles: 256 hashes, and the hash of the tree over them, which stands for them one level up.'`,

    `CREATE TABLE intramuros_audit.checkpoint (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      note bytea
    )`,
    `COMMENT ON TABLE intramuros_audit.checkpoint IS 'One row: the newest c2sp.org/tlog-checkpoint that was published, in UTF-8; NULL before the first.'`,
    `INSERT INTO intramuros_audit.checkpoint (note) VALUES (NULL)`,
  ],
  [
    `CREATE TABLE intramuros_audit.directory (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      version bigint NOT NULL CHECK (version > 0),
      image bytea NOT NULL
    )`,
    `COMMENT ON TABLE intramuros_audit.directory IS 'At most one row: teams and API keys of the services that share this log, sealed with a key that is derived from that of the log; version moves with each change.'`,
  ],
]

/** Makes the tables, or brings them up to this version. Held by whoever has the lock; needs rights to make tables only if there is something to do. */
export async function migrate(run: Run): Promise<void> {
  const [schema] = await run<{ exists: boolean; versioned: boolean }>({
    what: 'looking for the schema',
    text: `SELECT to_regnamespace('intramuros_audit') IS NOT NULL AS exists, to_regclass('intramuros_audit.version') IS NOT NULL AS versioned`,
  })
  const version = schema?.versioned === true ? await versionOf(run) : 0
  if (version > steps.length) {
    const message = `The tables of schema intramuros_audit are of version ${version}, made by a newer release; this one knows version ${steps.length}. Start the newer release.`
    throw new PostgresError(message, { stored: 'no', passing: false })
  }
  if (version === steps.length) return

  const what = 'making the tables of schema intramuros_audit'
  const texts = [
    ...(schema?.exists === true ? [] : [`CREATE SCHEMA intramuros_audit`]),
    ...(version > 0 ? [] : [`CREATE TABLE intramuros_audit.version (one boolean PRIMARY KEY DEFAULT true CHECK (one), number int NOT NULL)`, `INSERT INTO intramuros_audit.version (number) VALUES (0)`]),
    ...steps.slice(version).flat(),
    `UPDATE intramuros_audit.version SET number = ${steps.length}`,
  ]
  await run({ what, text: 'BEGIN' })
  for (const text of texts) await run({ what, text })
  await run({ what, text: 'COMMIT' })
}

async function versionOf(run: Run): Promise<number> {
  const rows = await run<{ number: number }>({ what: 'asking for the version of the tables', text: 'SELECT number FROM intramuros_audit.version' })
  return rows[0]?.number ?? 0
}
