import type { LogStore } from '../store/store.ts'
import { parseCheckpoint } from '../tlog/checkpoint.ts'
import { parseNote } from '../tlog/note.ts'
import { ServiceError } from '../../shared/errors.ts'

export type ReadableStore = Pick<LogStore, 'head' | 'entries' | 'tile' | 'checkpoint'>

export interface IndexedEntry {
  index: number
  record: Uint8Array
}

/** Entries that are read before something is told of them: a lane's message stays below 64 KiB or so. */
const chunkEntries = 128

/** What is there of the entries from one index up to, not with, another, in pieces. A piece may be empty; `reached` is how far it goes. */
export async function* chunksOf(store: ReadableStore, from: number, to: number, keep: (record: string) => boolean): AsyncGenerator<{ kept: IndexedEntry[]; reached: number }, void, undefined> {
  let kept: IndexedEntry[] = []
  let index = from
  for await (const record of store.entries(from, to)) {
    if (record !== undefined && keep(Buffer.from(record.buffer, record.byteOffset, record.byteLength).toString('latin1'))) kept.push({ index, record })
    index += 1
    if ((index - from) % chunkEntries !== 0) continue
    yield { kept, reached: index }
    kept = []
  }
  yield { kept, reached: to }
}

/**
 * Whether a record is a team's and of a time. By its text, as that is canonical JSON whose strings hold no quotes: a tenth of what reading
 * it takes. Empty: any.
 */
export function recordFilter({ team, fromMs, toMs }: { team: string; fromMs?: number | undefined; toMs?: number | undefined }): (record: string) => boolean {
  const teamText = `"team":"${team}"`
  const from = fromMs === undefined ? '' : new Date(fromMs).toISOString()
  const to = toMs === undefined ? '~' : new Date(toMs).toISOString()
  return (record) => {
    if (team !== '' && !record.includes(teamText)) return false
    if (fromMs === undefined && toMs === undefined) return true
    const at = /"at":"([^"]*)"/.exec(record)?.[1] ?? ''
    return at >= from && at < to
  }
}

/** The newest checkpoint and the size of its tree. Throws NOT_FOUND no_checkpoint. */
export async function newestCheckpoint(store: ReadableStore): Promise<{ note: string; size: number }> {
  const note = await store.checkpoint()
  if (note === undefined) throw new ServiceError('NOT_FOUND', 'no_checkpoint', 'The audit log has no checkpoint yet. Try again in some seconds.', { retryAfterMs: 2000 })
  return { note, size: parseCheckpoint(parseNote(note).text).size }
}
