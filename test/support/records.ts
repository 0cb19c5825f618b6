import { join } from 'node:path'
import { decodeRecord } from '../../services/audit/records/record.ts'
import { decodeBundle } from '../../services/audit/tlog/bundle.ts'
import { fullWidth, widthAt } from '../../services/audit/tlog/tile-path.ts'
import { openLogSource } from '../../services/audit/verify/log-source.ts'

/** The records of a platform's audit log that are committed; empty before there is a log. */
export async function auditRecords(home: string): Promise<Record<string, unknown>[]> {
  return recordsIn(join(home, 'audit'))
}

/** The same of a log's folder. */
export async function recordsIn(folder: string): Promise<Record<string, unknown>[]> {
  const source = await openLogSource(folder)
  const records: Record<string, unknown>[] = []
  try {
    const size = source?.head?.size ?? 0
    for (let index = 0; index * fullWidth < size; index += 1) {
      const width = widthAt(size, 0, index)
      const bytes = await source?.bundle({ level: 'entries', index, width })
      for (const entry of decodeBundle(bytes ?? new Uint8Array(), width)) records.push({ ...(entry === undefined ? undefined : decodeRecord(entry)) })
    }
  } finally {
    source?.close()
  }
  return records
}
