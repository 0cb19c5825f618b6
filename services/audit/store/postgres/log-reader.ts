import { hashBytes } from '../../tlog/merkle.ts'
import { fullWidth } from '../../tlog/tile-path.ts'
import { type LogStore, StoreError, type TreeHead } from '../store.ts'
import type { Run } from './connection.ts'

/** Entries that are read at once. */
const pageEntries = 512

export interface HeadRow {
  size: string
  root: Buffer
}

export type LogReader = Pick<LogStore, 'head' | 'entries' | 'tile' | 'checkpoint'>

/** What only reads. Each statement sees one moment of the log; what it has once does not change, but for pruning. */
export function logReader(run: Run): LogReader {
  /** The log has at least as many entries. */
  let known = 0

  async function head(): Promise<TreeHead> {
    const found = headOf(await run<HeadRow>({ what: 'reading the head', name: 'read-head', text: 'SELECT size, root FROM intramuros_audit.head' }))
    known = Math.max(known, found.size)
    return found
  }

  async function page(from: number, to: number): Promise<(Buffer | null)[]> {
    const rows = await run<{ data: Buffer | null }>({
      what: 'reading entries',
      name: 'read-entries',
      text: 'SELECT data FROM intramuros_audit.entry WHERE index >= $1 AND index < $2 ORDER BY index',
      values: [from, to],
    })
    if (rows.length !== to - from) throw missing(`${to - from - rows.length} of the entries ${from} to ${to - 1}`)
    return rows.map(({ data }) => data)
  }

  return {
    head,

    async *entries(from, to) {
      if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from) throw new RangeError(`there is no range of entries from ${from} to ${to}`)
      if (to > known && to > (await head()).size) throw new RangeError(`entry ${to - 1} is beyond the end of the log`)
      let next = from < to ? page(from, Math.min(to, from + pageEntries)) : undefined
      for (let start = from; next !== undefined; start += pageEntries) {
        const rows: (Buffer | null)[] = await next
        const end = start + pageEntries
        // The next page is on its way while this one is looked at. A reader who leaves off does not wait for it.
        next = end < to ? page(end, Math.min(to, end + pageEntries)) : undefined
        next?.catch(() => undefined)
        for (const data of rows) yield data ?? undefined
      }
    },

    async tile(level, index, width) {
      if (![level, index, width].every((number) => Number.isSafeInteger(number)) || level < 0 || level > 6 || index < 0 || width < 1 || width > fullWidth) return undefined
      const first = index * fullWidth
      if (!Number.isSafeInteger(first + width)) return undefined
      const rows = await run<{ hashes: Buffer | null }>(width === fullWidth ? fullTile(level, index) : level === 0 ? leaves(first, width) : roots(level - 1, first, width))
      const hashes = rows[0]?.hashes
      return hashes == null || hashes.length < width * hashBytes ? undefined : hashes
    },

    async checkpoint() {
      const rows = await run<{ note: Buffer | null }>({ what: 'reading the checkpoint', name: 'read-checkpoint', text: 'SELECT note FROM intramuros_audit.checkpoint' })
      return rows[0]?.note?.toString('utf8')
    },
  }
}

export function headOf(rows: readonly HeadRow[]): TreeHead {
  const [row] = rows
  if (row === undefined) throw missing('the head of the log')
  return { size: Number(row.size), root: row.root }
}

const what = 'reading a tile'

function fullTile(level: number, index: number) {
  return { what, name: 'read-tile', text: 'SELECT hashes FROM intramuros_audit.tile WHERE level = $1 AND index = $2', values: [level, index] }
}

function leaves(first: number, width: number) {
  const text = `SELECT string_agg(coalesce(hash, sha256('\\x00'::bytea || data)), ''::bytea ORDER BY index) AS hashes
    FROM intramuros_audit.entry WHERE index >= $1 AND index < $2`
  return { what, name: 'read-leaves', text, values: [first, first + width] }
}

/** The hashes of a tile stand for the full tiles below it. */
function roots(below: number, first: number, width: number) {
  const text = `SELECT string_agg(root, ''::bytea ORDER BY index) AS hashes FROM intramuros_audit.tile WHERE level = $1 AND index >= $2 AND index < $3`
  return { what, name: 'read-roots', text, values: [below, first, first + width] }
}

function missing(thing: string): StoreError {
  return new StoreError(`PostgreSQL does not have ${thing}: rows of schema intramuros_audit were lost or removed.`, { stored: 'no' })
}
