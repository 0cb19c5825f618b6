import { randomUUID } from 'node:crypto'
import { perfectRoot } from '../../tlog/merkle.ts'
import { type Batch, HeadMovedError, type LogStore, StoreError, type TreeHead } from '../store.ts'
import { byteaArray } from './binary-array.ts'
import type { Run } from './connection.ts'
import { type HeadRow, headOf } from './log-reader.ts'

/** Entries that are pruned by one statement. */
const pruneEntries = 1000

export interface LogWriter extends Pick<LogStore, 'append' | 'publish' | 'prune'> {
  /** The head, once it is sure that no append is under way that could still change it; undefined when that is so without asking. */
  settledHead(): Promise<TreeHead | undefined>
}

/**
 * Writes the log, each change by one statement, which is a transaction of its own: one way to the server and back, one sync, and no
 * transaction that could be left open.
 *
 * A statement whose answer was lost may still be under way on the server, and would be done when somebody has already read the head and
 * taken it for lost. So the row of the head has a token, `writer`, which each append asks for: changing it waits for one that has begun
 * and shuts out those that have not. `token` is the one that stands there.
 */
export function logWriter(run: Run, token: string): LogWriter {
  /** One of these is the token that stands there: more than one when the answer to a change of it was lost. */
  let tokens = [token]
  let settled = true

  async function settle(): Promise<TreeHead> {
    const next = randomUUID()
    const mine = tokens
    tokens = [...tokens, next]
    const statement = {
      what: 'settling what is stored',
      text: 'UPDATE intramuros_audit.head SET writer = $1 WHERE writer = ANY ($2::uuid[]) RETURNING size, root',
      values: [next, mine],
    }
    const rows = await run<HeadRow>(statement).catch((thrown: unknown) => {
      if (thrown instanceof StoreError && thrown.stored === 'no') tokens = mine
      throw thrown
    })
    if (rows.length === 0) throw new HeadMovedError('The log in PostgreSQL has another writer now.')
    tokens = [next]
    settled = true
    return headOf(rows)
  }

  async function append({ from, to, entries, tiles }: Batch): Promise<void> {
    if (!settled) await settle()
    try {
      const [row] = await run<{ moved: number }>({
        what: 'appending',
        name: 'append',
        text: appendText,
        values: [
          from.size,
          from.root,
          tokens[0],
          to.size,
          to.root,
          byteaArray(entries),
          tiles.map(({ level }) => level),
          tiles.map(({ index }) => index),
          byteaArray(tiles.map(({ hashes }) => hashes)),
          byteaArray(tiles.map(({ hashes }) => perfectRoot(hashes))),
        ],
      })
      if (row?.moved !== 1) throw new HeadMovedError('The log in PostgreSQL does not end where this writer has left it: another one writes it.')
    } catch (thrown) {
      if (thrown instanceof StoreError && thrown.stored === 'unknown') settled = false
      throw thrown
    }
  }

  return {
    append,

    async settledHead() {
      return settled ? undefined : await settle()
    },

    async publish(previous, checkpoint) {
      // Repeating one that was done is no fault: its answer may have been lost.
      const rows = await run({
        what: 'publishing a checkpoint',
        name: 'publish',
        text: `UPDATE intramuros_audit.checkpoint SET note = $2
          WHERE (note IS NOT DISTINCT FROM $1 OR note = $2) AND EXISTS (SELECT FROM intramuros_audit.head WHERE writer = ANY ($3::uuid[]))
          RETURNING one`,
        values: [previous === undefined ? null : Buffer.from(previous), Buffer.from(checkpoint), tokens],
      })
      if (rows.length === 0) throw new HeadMovedError('Another checkpoint was published, or the log in PostgreSQL has another writer now.')
    },

    async prune(indexes) {
      for (const part of parts([...indexes].toSorted((a, b) => a - b), pruneEntries)) {
        await run({
          what: 'pruning',
          name: 'prune',
          text: `UPDATE intramuros_audit.entry SET data = NULL, hash = sha256('\\x00'::bytea || data) WHERE index = ANY ($1::bigint[]) AND data IS NOT NULL`,
          values: [part],
        })
      }
    },
  }
}

/** Only when the head is where it was thought, there is a row in `moved`, and only then anything is inserted. */
const appendText = `WITH moved AS (
    UPDATE intramuros_audit.head SET size = $4, root = $5 WHERE size = $1 AND root = $2 AND writer = $3 RETURNING one
  ), entries AS (
    INSERT INTO intramuros_audit.entry (index, data)
    SELECT $1::bigint + added.place - 1, added.data FROM moved, unnest($6::bytea[]) WITH ORDINALITY AS added (data, place)
  ), tiles AS (
    INSERT INTO intramuros_audit.tile (level, index, hashes, root)
    SELECT added.* FROM moved, unnest($7::smallint[], $8::bigint[], $9::bytea[], $10::bytea[]) AS added
  )
  SELECT count(*)::int AS moved FROM moved`

function* parts(items: Iterable<number>, size: number): Generator<number[], void, undefined> {
  let part: number[] = []
  for (const item of items) {
    part.push(item)
    if (part.length < size) continue
    yield part
    part = []
  }
  if (part.length > 0) yield part
}
