import { existsSync, readFileSync } from 'node:fs'
import type { ArchiveFault, VerifiedArchive } from '../../audit/archive/verify-archive.ts'

export interface ArchiveVerdict {
  ok: boolean
  text: string
  json: string
}

/** Checks an archive for `audit verify --archive`. `key` is a vkey or a file that holds one. */
export async function verifyArchiveFor(folder: string, key: string | undefined): Promise<ArchiveVerdict> {
  const { verifyArchive } = await import('../../audit/archive/verify-archive.ts')
  const vkey = key !== undefined && existsSync(key) ? readFileSync(key, 'utf8').trim() : key
  const result = await verifyArchive(folder, vkey)
  return { ok: result.ok, text: result.ok ? intact(folder, result) : faulty(folder, result), json: JSON.stringify({ archive: folder, ...result }) }
}

function intact(folder: string, { origin, size, records, absent, team, trusted }: VerifiedArchive): string {
  const lines = [`The archive in ${folder} is intact: ${records} records${team === '' ? '' : ` of team ${team}`} of the log ${origin}, whose checkpoint is of ${size} entries.`]
  if (absent > 0) lines.push(`${absent} entries between its first and its last are not in it: pruned, or of another time.`)
  if (!trusted) lines.push('It was checked with the key that it brings itself, which shows only that it fits together: give the key that you were told with --key.')
  return `${lines.join('\n')}\n`
}

function faulty(folder: string, { place, message }: ArchiveFault): string {
  return `The archive in ${folder} is not what was logged.\n${place}: ${message}\n`
}
