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

/** Within a transaction that has read it with a lock, or found none. */
export async function writeRow(run: Run, { version, image }: DirectoryRow): Promise<void> {
  const text = version === 1 ? 'INSERT INTO intramuros_audit.directory (version, image) VALUES ($1, $2)' : 'UPDATE intramuros_audit.directory SET version = $1, image = $2'
  await run({ what: 'changing teams and keys', text, values: [version, image] })
}
