import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The records of a platform's audit log as they stand in the file. */
export async function auditRecords(home: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(home, 'audit/audit.log'), 'utf8')
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>)
}
