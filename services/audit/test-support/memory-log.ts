import { ServiceError } from '../../shared/errors.ts'
import { decodeRecord, type Entry, type LogRecord } from '../records/record.ts'
import type { LogStore } from '../store/store.ts'
import { appendTo, type TestLog } from './append-to.ts'
import { createMemoryStore } from './memory-store.ts'

export interface MemoryLog {
  append(entries: readonly Entry[]): Promise<number>
  store: LogStore
  /** The appends fail, as those of a full disk do. */
  fail: boolean
  /** The appends come too late: they are given up, and stored afterwards. */
  late: boolean
  onCommitted: (first: number, entries: readonly Uint8Array[]) => void
  records(): Promise<LogRecord[]>
  /** Resolves when no append is under way and none was begun by one. */
  settled(): Promise<void>
}

/** A log in memory that ledgers append to as to the real one. */
export function createMemoryLog(): MemoryLog {
  const store = createMemoryStore()
  const writer: TestLog = appendTo(store)
  let last: Promise<unknown> = Promise.resolve()
  let under = 0
  const log: MemoryLog = {
    store,
    fail: false,
    late: false,
    onCommitted: () => undefined,
    append(entries) {
      under += 1
      const appended = last.then(async () => {
        // As a disk, it takes more than one turn of the event loop.
        await new Promise((resolve) => setImmediate(resolve))
        if (log.fail) throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'The audit record could not be made durable.')
        const first = await writer.append('2026-11-01T00:00:00.000Z', ...entries)
        const given = log.late
        const commit = async (): Promise<void> => {
          const stored: Uint8Array[] = []
          for await (const bytes of store.entries(first, first + entries.length)) if (bytes !== undefined) stored.push(bytes)
          log.onCommitted(first, stored)
        }
        if (!given) await commit()
        return { first, given, commit }
      })
      last = appended
        .then(async ({ given, commit }) => {
          if (!given) return
          await new Promise((resolve) => setImmediate(resolve))
          await commit()
        })
        .catch(() => undefined)
        .then(() => (under -= 1))
      return appended.then(({ first, given }) => {
        if (given) throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'The audit record could not be made durable.')
        return first
      })
    },
    async records() {
      const records: LogRecord[] = []
      const { size } = await store.head()
      for await (const bytes of store.entries(0, size)) {
        const record = bytes === undefined ? undefined : decodeRecord(bytes)
        if (record !== undefined) records.push(record)
      }
      return records
    },
    async settled() {
      do {
        await last
        await new Promise((resolve) => setImmediate(resolve))
      } while (under > 0)
    },
  }
  return log
}
