import type { DatabaseSync } from 'node:sqlite'
import type { TreeHead } from '../store.ts'
import { fullWidth, highestLevel } from '../../tlog/tile-path.ts'
import { headReader, tileId } from './database.ts'

export interface StoredBatch {
  from: TreeHead
  to: TreeHead
  count: number
  /** The entries as a bundle of `count`. */
  bundle: Uint8Array
  tiles: readonly { level: number; index: number; hashes: Uint8Array }[]
  /** Entries whose bundles and tiles are durable files by now: their rows go. */
  moved: number
}

/** What happens to the database while records wait. 'moved': the log is not where the caller thought; nothing was written. */
export interface Writer {
  head(): TreeHead
  append(batch: StoredBatch): 'stored' | 'moved'
  publish(change: { previous: string | undefined; checkpoint: string }): 'stored' | 'moved'
}

/** A failure while the transaction was ended: whether it is stored only the database can tell. */
export class CommitError extends Error {}

export function createWriter(database: DatabaseSync): Writer {
  const readHead = headReader(database)
  const moveHead = database.prepare('UPDATE head SET size = ?, root = ? WHERE size = ? AND root = ?')
  const insertGroup = database.prepare('INSERT INTO tail VALUES (?, ?, ?)')
  const insertTile = database.prepare('INSERT INTO tile VALUES (?, ?)')
  const setMoved = database.prepare('UPDATE head SET moved = ?')
  const dropGroups = database.prepare('DELETE FROM tail WHERE first < ?1 AND first + count <= ?1')
  const dropTiles = database.prepare('DELETE FROM tile WHERE id >= ? AND id < ?')
  const dropPruned = database.prepare('DELETE FROM pruned WHERE entry < ?')
  const setCheckpoint = database.prepare('UPDATE head SET checkpoint = ? WHERE checkpoint IS ?')
  const [begin, commit, rollback] = ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'].map((sql) => database.prepare(sql))
  let moved = readHead().moved

  function transaction(change: () => boolean): 'stored' | 'moved' {
    begin?.run()
    try {
      if (!change()) {
        rollback?.run()
        return 'moved'
      }
    } catch (thrown) {
      if (database.isTransaction) rollback?.run()
      throw thrown
    }
    try {
      commit?.run()
    } catch (thrown) {
      if (database.isTransaction) rollback?.run()
      throw new CommitError('the transaction could not be ended', { cause: thrown })
    }
    return 'stored'
  }

  return {
    head() {
      const { size, root } = readHead()
      return { size, root }
    },
    append({ from, to, count, bundle, tiles, moved: upTo }) {
      const outcome = transaction(() => {
        if (moveHead.run(to.size, to.root, from.size, from.root).changes !== 1) return false
        insertGroup.run(from.size, count, bundle)
        for (const { level, index, hashes } of tiles) insertTile.run(tileId(level, index), hashes)
        if (upTo <= moved) return true
        setMoved.run(upTo)
        dropGroups.run(upTo)
        dropPruned.run(upTo)
        for (let level = 0; level <= highestLevel; level += 1) dropTiles.run(tileId(level, 0), tileId(level, Math.floor(upTo / fullWidth ** (level + 1))))
        return true
      })
      if (outcome === 'stored') moved = Math.max(moved, upTo)
      return outcome
    },
    publish: ({ previous, checkpoint }) => transaction(() => setCheckpoint.run(checkpoint, previous ?? null).changes === 1),
  }
}
