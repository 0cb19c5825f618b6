import type { Run } from '../store/postgres/connection.ts'
import { nonceBytes } from './seal.ts'

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

/** What no two images have in common, the nonce of their seal; undefined while there is none. A version that was put back and changed anew may have a number again. */
export async function readMark(run: Run): Promise<string | undefined> {
  const [row] = await run<{ mark: string }>({
    what: 'asking whether teams and keys were changed',
    name: 'directory-mark',
    text: `SELECT encode(substring(image FOR ${nonceBytes}), 'hex') AS mark FROM intramuros_audit.directory`,
  })
  return row?.mark
}

export function markOf({ image }: DirectoryRow): string {
  return image.toString('hex', 0, nonceBytes)
}

/** Undefined before the first. `lock`: nobody else changes it before the transaction ends. */
export async function readRow(run: Run, { lock }: { lock: boolean }): Promise<DirectoryRow | undefined> {
  const [row] = await run<Found>({ what: 'reading teams and keys', text: `SELECT version, image FROM intramuros_audit.directory${lock ? ' FOR UPDATE' : ''}` })
  return row && { version: Number(row.version), image: row.image }
}

/** Where there is none, and nobody has made one since. */
export async function insertRow(run: Run, { version, image }: DirectoryRow): Promise<void> {
  await run({ what: 'making teams and keys', text: 'INSERT INTO intramuros_audit.directory (version, image) VALUES ($1, $2) ON CONFLICT DO NOTHING', values: [version, image] })
}

/** Within a transaction that has read it with a lock. */
export async function updateRow(run: Run, { version, image }: DirectoryRow): Promise<void> {
  await run({ what: 'changing teams and keys', text: 'UPDATE intramuros_audit.directory SET version = $1, image = $2', values: [version, image] })
}

/** Whether somebody who may write the table wants a directory without any keys to be made (docs/audit-postgres.md): an empty image. */
export function isToBeMadeAnew({ image }: DirectoryRow): boolean {
  return image.length === 0
}

/** The statement that asks for that. */
export const askAnew = `INSERT INTO intramuros_audit.directory (version, image) VALUES (1, '') ON CONFLICT (one) DO UPDATE SET image = ''`
