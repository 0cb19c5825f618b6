import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeRecord } from '../../services/audit/records/record.ts'
import { headReader, openForReading } from '../../services/audit/store/folder/database.ts'
import { createTail } from '../../services/audit/store/folder/tail.ts'
import { decodeBundle } from '../../services/audit/tlog/bundle.ts'
import { fullWidth, tilePath } from '../../services/audit/tlog/tile-path.ts'

/** The records of a platform's audit log as they stand in its folder; the service may be running. */
export async function auditRecords(home: string): Promise<Record<string, unknown>[]> {
  const folder = join(home, 'audit')
  const database = openForReading(folder)
  let moved: number
  let entries: (Uint8Array | undefined)[]
  try {
    database.exec('BEGIN')
    const head = headReader(database)()
    moved = head.moved
    entries = createTail(database).entries(moved, head.size)
  } finally {
    database.close()
  }
  const bundles = Array.from({ length: moved / fullWidth }, (_, index) => readFile(join(folder, tilePath({ level: 'entries', index, width: fullWidth }))))
  const stored = (await Promise.all(bundles)).flatMap((bundle) => decodeBundle(bundle))
  return [...stored, ...entries].map((entry) => ({ ...decodeRecord(entry ?? new Uint8Array()) }))
}
