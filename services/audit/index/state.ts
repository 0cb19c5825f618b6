import type { DatabaseSync } from 'node:sqlite'

/** What the index knows of itself. Written in the transaction of the rows that it tells of. */
export interface State {
  /** Entries of the log that are taken in. */
  size: number
  /** Requests that began; the next one's number. */
  requests: number
  /** Behind the last entry that was gone already when it was to be taken in; 0: none was. */
  prunedTo: number
  /** Time of the record behind that one, milliseconds since 1970: before it usage lacks what was pruned, unless the log says what that was. */
  usageFromMs: number
  /** What the log says is pruned, by class: behind the last one (log.pruned). */
  requestsTo: number
  securityTo: number
  administrationTo: number
  /** Class of the last log.pruned, when it counts: usage.carried records that come now belong to it. Else empty. */
  carrying: string
  /** Leaf hash of the last entry taken in, as hex, which tells another log; empty when that entry was pruned. */
  lastLeaf: string
  write(): void
}

const numbers = ['size', 'requests', 'prunedTo', 'usageFromMs', 'requestsTo', 'securityTo', 'administrationTo'] as const
const texts = ['carrying', 'lastLeaf'] as const

export function readState(database: DatabaseSync): State {
  const rows = new Map(database.prepare('SELECT key, value FROM state').all().map((row) => [String(row['key']), row['value']]))
  const upsert = database.prepare('INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
  const written = new Map<string, number | string>()
  const number = (key: string): number => Number(rows.get(key) ?? 0)
  const state: State = {
    size: number('size'),
    requests: number('requests'),
    prunedTo: number('prunedTo'),
    usageFromMs: number('usageFromMs'),
    requestsTo: number('requestsTo'),
    securityTo: number('securityTo'),
    administrationTo: number('administrationTo'),
    carrying: String(rows.get('carrying') ?? ''),
    lastLeaf: String(rows.get('lastLeaf') ?? ''),
    write() {
      for (const key of [...numbers, ...texts]) {
        if (written.get(key) === state[key]) continue
        upsert.run(key, state[key])
        written.set(key, state[key])
      }
    },
  }
  return state
}
