import type { Run } from '../store/postgres/connection.ts'

/** The one row of intramuros_audit.directory. */
export interface DirectoryRow {
  /** Moves with each change. */
  version: number
  /** What a Seal made. */
  image: Buffer
}

interface Found {
  version: string
  image: Buffer
}

export async function readVersion(run: Run): Promise<number> {
  const [row] = await run<Found>({ what: 'asking for the version of teams and keys', name: 'directory-version', text: 'SELECT version FROM intramuros_audit.directory' })
  return Number(row?.version ?? 0)
}

/** Undefined before the first. `lock`: nobody else changes it before the transaction ends. */
export async function readRow(run: Run, { lock }: { lock: boolean }): Promise<DirectoryRow | undefined> {
  const [row] = await run<Found>({ what: 'reading teams and keys', text: `SELECT version, image FROM intramuros_audit.directory${lock ? ' FOR UPDATE' : ''}` })
  return row && { version: Number(row.version), image: row.image }
}

/** Within a transaction that has read it with a lock, or found none. */
export async function writeRow(run: Run, { version, image }: DirectoryRow): Promise<void> {
  const text = version === 1 ? 'INSERT INTO intramuros_audit.directory (version, image) VALUES ($1, $2)' : 'UPDATE intramuros_audit.directory SET version = $1, image = $2'
  await run({ what: 'changing teams and keys', text, values: [version, image] })
}
