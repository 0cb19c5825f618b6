import type { DatabaseSync } from 'node:sqlite'
import { leafHash } from '../tlog/merkle.ts'
import { type Dimension, openOutcome, termOf } from './dimensions.ts'
import type { Names } from './names.ts'
import { createCarried } from './carried.ts'
import { createPostingWriter } from './posting-writer.ts'
import { createRangeUsage } from './range-usage.ts'
import { type ReadRecord, readRecord } from './read-record.ts'
import { requestGeneration, requestHash } from './request-ids.ts'
import type { State } from './state.ts'
import { createUsageWriter } from './usage-writer.ts'
import type { TeamUsage } from './usage-fold.ts'

export interface Applied {
  /** Entries that the index is complete up to. */
  size: number
  /** What these entries added to what teams used. */
  used: TeamUsage[]
}

/** A request whose end has not been met. */
interface OpenRequest {
  n: number
  team: number
  keyId: number
  subject: number
  model: number
  /** Its begin, while it is not in the database yet. */
  row: Row | undefined
}

/** Values of `columns`, in their order. */
type Row = (number | string | null)[]

const beginColumns = ['n', 'begin_index', 'began_ms', 'request_id', 'instance', 'team', 'key_id', 'subject', 'model', 'endpoint', 'stream']
const endColumns = ['end_index', 'ended_ms', 'outcome', 'finish_reason', 'error', 'input_tokens', 'cached_tokens', 'output_tokens', 'first_token_us', 'duration_us', 'worker_us', 'worker']
const columns = [...beginColumns, ...endColumns]

/** The time of one entry of so many is kept, to find a time's place. */
export const timesEvery = 256

/** Takes entries in, in their order. After it threw, it must not be used again: what it holds in memory is then not what is stored. */
export function createIngest(database: DatabaseSync, names: Names, state: State): (first: number, entries: readonly (Uint8Array | undefined)[]) => Applied {
  const insertRow = database.prepare(`INSERT INTO requests (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`)
  const updateRow = database.prepare(`UPDATE requests SET ${endColumns.map((column) => `${column} = ?`).join(', ')} WHERE n = ?`)
  const insertId = database.prepare('INSERT OR IGNORE INTO request_ids (generation, hash, n) VALUES (?, ?, ?)')
  const insertEvent = database.prepare('INSERT INTO events (log_index, at_ms, type, team, record) VALUES (?, ?, ?, ?, ?)')
  const insertTime = database.prepare('INSERT OR IGNORE INTO times (log_index, at_ms) VALUES (?, ?)')
  const insertOrphan = database.prepare('INSERT OR IGNORE INTO orphan_ends (log_index) VALUES (?)')
  const postings = createPostingWriter(database)
  const usage = createUsageWriter(database, names)
  const countedIn = createRangeUsage(database, names, state)
  const carried = createCarried(state, usage, (range) => {
    writeRows()
    return countedIn(range)
  })
  const open = readOpen(database)
  const none = names.idOf('')
  const stillOpen = names.idOf(openOutcome)
  let unwritten: OpenRequest[] = []
  let next = state.requests
  let timedTo = -1

  function begin(index: number, record: ReadRecord): void {
    const n = next
    next += 1
    const id = record.text('requestId')
    const name = (field: string): number => names.idOf(record.text(field))
    const one = { n, team: name('team'), keyId: name('keyId'), subject: name('subject'), model: name('model') }
    const endpoint = name('endpoint')
    const row: Row = [
      n, index, record.atMs, id, name('instance'), one.team, one.keyId, one.subject, one.model, endpoint, record.flag('stream') ? 1 : 0,
      null, null, stillOpen, none, none, 0, 0, 0, 0, 0, 0, none,
    ]
    const request: OpenRequest = { ...one, row }
    open.set(id, request)
    unwritten.push(request)
    insertId.run(requestGeneration(n), requestHash(id), n)
    mark('team', one.team, n)
    mark('keyId', one.keyId, n)
    mark('subject', one.subject, n)
    mark('model', one.model, n)
    mark('endpoint', endpoint, n)
    mark('outcome', stillOpen, n)
  }

  function mark(dimension: Dimension, name: number, n: number): void {
    // Nobody searches for what is empty, and most subjects and errors are.
    if (name !== none) postings.set(termOf(dimension, name), n)
  }

  function end(index: number, record: ReadRecord): void {
    const request = open.get(record.text('requestId'))
    if (request === undefined) {
      // Its begin was pruned, and it is next: the log has said so, and carries what was used.
      insertOrphan.run(index)
      return
    }
    usage.ended(record, request)
    open.delete(record.text('requestId'))
    const { n, row } = request
    const [outcome, error] = [names.idOf(record.text('outcome')), names.idOf(record.text('error'))]
    const ended: Row = [
      index, record.atMs, outcome, names.idOf(record.text('finishReason')), error, record.number('inputTokens'), record.number('cachedTokens'), record.number('outputTokens'),
      record.number('firstTokenUs'), record.number('durationUs'), record.number('workerUs'), names.idOf(record.text('worker')),
    ]
    if (row === undefined) updateRow.run(...ended, n)
    else row.splice(beginColumns.length, ended.length, ...ended)
    postings.clear(termOf('outcome', stillOpen), n)
    mark('outcome', outcome, n)
    mark('error', error, n)
  }

  function other(index: number, record: ReadRecord, bytes: Uint8Array): void {
    insertEvent.run(index, record.atMs, names.idOf(record.type), names.idOf(record.text('team')), bytes)
    usage.other(record)
    if (record.type === 'log.pruned') carried.announced(record)
    if (record.type === 'usage.carried') carried.carried(record)
  }

  function takeIn(index: number, bytes: Uint8Array | undefined): void {
    const record = bytes === undefined ? undefined : readRecord(bytes)
    if (bytes === undefined || record === undefined) {
      state.prunedTo = index + 1
      return
    }
    const slot = Math.floor(index / timesEvery)
    if (slot !== timedTo) insertTime.run(slot * timesEvery, record.atMs)
    timedTo = slot
    if (state.prunedTo === index && index > 0) state.usageFromMs = record.atMs
    if (record.type === 'request.begin') begin(index, record)
    else if (record.type === 'request.end') end(index, record)
    else other(index, record, bytes)
  }

  function writeRows(): void {
    for (const request of unwritten) {
      const { row } = request
      if (row !== undefined) insertRow.run(...row)
      request.row = undefined
    }
    unwritten = []
    // What finds rows by halves must know how far they go.
    state.requests = next
  }

  return (first, entries) => {
    if (first !== state.size) throw new RangeError(`the index is complete up to ${state.size}, and was given entries from ${first} on`)
    database.exec('BEGIN')
    entries.forEach((bytes, place) => takeIn(first + place, bytes))
    writeRows()
    postings.flush()
    const used = usage.flush()
    state.size = first + entries.length
    const last = entries.at(-1)
    state.lastLeaf = last === undefined ? '' : leafHash(last).toString('hex')
    state.write()
    database.exec('COMMIT')
    return { size: state.size, used }
  }
}

function readOpen(database: DatabaseSync): Map<string, OpenRequest> {
  const rows = database.prepare('SELECT request_id, n, team, key_id, subject, model FROM requests WHERE end_index IS NULL ORDER BY n').all()
  return new Map(
    rows.map((row) => [
      String(row['request_id']),
      { n: Number(row['n']), team: Number(row['team']), keyId: Number(row['key_id']), subject: Number(row['subject']), model: Number(row['model']), row: undefined },
    ]),
  )
}
