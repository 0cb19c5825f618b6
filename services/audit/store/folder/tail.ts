import type { DatabaseSync } from 'node:sqlite'
import { decodeBundle, encodeBundle } from '../../tlog/bundle.ts'
import { MalformedError } from '../../tlog/malformed.ts'
import { leafHash } from '../../tlog/merkle.ts'
import { DatabaseUnusableError, tileId } from './database.ts'

/** The end of the log that is still in the database, as far as its rows reach. */
export interface Tail {
  /** Entries from one index up to, not with, another, all of which have rows. Undefined for each that was pruned. */
  entries(from: number, to: number): (Uint8Array | undefined)[]
  /** Their leaf hashes, also those of pruned ones. */
  hashes(from: number, to: number): Buffer
  tile(level: number, index: number): Uint8Array | undefined
  prunedHash(index: number): Uint8Array | undefined
  /** Drops entries that have rows, and keeps their hashes. */
  prune(indexes: readonly number[]): void
}

export function createTail(database: DatabaseSync): Tail {
  // The last group that begins at or before `from` may hold it.
  const select = database.prepare('SELECT first, count FROM tail WHERE first >= (SELECT coalesce(max(first), 0) FROM tail WHERE first <= ?1) AND first < ?2 ORDER BY first')
  const selectBundle = database.prepare('SELECT bundle FROM tail WHERE first = ?')
  const selectTile = database.prepare('SELECT hashes FROM tile WHERE id = ?')
  const selectPruned = database.prepare('SELECT hash FROM pruned WHERE entry = ?')

  /** A group may have many bundles' entries, which are asked for one after the other: the last one that was read. It never changes but by prune(). */
  let known: Group | undefined

  function groups(from: number, to: number): Group[] {
    return select.all(from, to).map(({ first, count }) => {
      if (typeof first !== 'number' || typeof count !== 'number') throw malformed()
      if (known?.first === first && known.entries.length === count) return known
      const bundle = selectBundle.get(first)?.['bundle']
      if (!(bundle instanceof Uint8Array)) throw malformed()
      return (known = { first, entries: decodeGroup(first, bundle, count) })
    })
  }

  function entries(from: number, to: number): (Uint8Array | undefined)[] {
    const found: (Uint8Array | undefined)[] = []
    for (const group of groups(from, to)) {
      if (group.first > from + found.length) break
      for (const entry of group.entries.slice(Math.max(0, from - group.first), to - group.first)) found.push(entry)
    }
    if (found.length !== to - from) throw new DatabaseUnusableError(`Entry ${from + found.length} is neither in a file nor in the database.`)
    return found
  }

  function prunedHash(index: number): Uint8Array | undefined {
    const hash = selectPruned.get(index)?.['hash']
    return hash instanceof Uint8Array ? hash : undefined
  }

  return {
    entries,
    prunedHash,
    hashes(from, to) {
      return Buffer.concat(
        entries(from, to).map((entry, at) => {
          if (entry !== undefined) return leafHash(entry)
          const hash = prunedHash(from + at)
          if (hash === undefined) throw new DatabaseUnusableError(`The hash of entry ${from + at}, which was pruned, is gone.`)
          return hash
        }),
      )
    },
    tile(level, index) {
      const hashes = selectTile.get(tileId(level, index))?.['hashes']
      return hashes instanceof Uint8Array ? hashes : undefined
    },
    prune(indexes) {
      if (indexes.length === 0) return
      known = undefined
      const gone = new Set(indexes)
      const [least, most] = indexes.reduce(([low, high], index) => [Math.min(low, index), Math.max(high, index)], [Infinity, 0])
      const keepHash = database.prepare('INSERT OR IGNORE INTO pruned VALUES (?, ?)')
      const replace = database.prepare('UPDATE tail SET bundle = ? WHERE first = ?')
      database.exec('BEGIN IMMEDIATE')
      try {
        for (const { first, entries: group } of groups(least, most + 1)) {
          const kept = group.map((entry, at) => {
            if (entry === undefined || !gone.has(first + at)) return entry
            keepHash.run(first + at, leafHash(entry))
            return undefined
          })
          if (kept.some((entry, at) => entry !== group[at])) replace.run(encodeBundle(kept), first)
        }
        database.exec('COMMIT')
      } catch (thrown) {
        if (database.isTransaction) database.exec('ROLLBACK')
        throw thrown
      } finally {
        known = undefined
      }
    },
  }
}

interface Group {
  first: number
  entries: (Uint8Array | undefined)[]
}

function malformed(): DatabaseUnusableError {
  return new DatabaseUnusableError('a group of records is malformed.')
}

function decodeGroup(first: number, bundle: Uint8Array, count: number): (Uint8Array | undefined)[] {
  try {
    return decodeBundle(bundle, count)
  } catch (thrown) {
    if (!(thrown instanceof MalformedError)) throw thrown
    throw new DatabaseUnusableError(`the group of records from ${first} on is malformed: ${thrown.message}.`)
  }
}
