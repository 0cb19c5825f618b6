import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Names } from './names.ts'
import { lowerBound } from './lower-bound.ts'
import type { Order } from './query.ts'
import type { State } from './state.ts'

/** Records that are no request's begin or end. */
export interface EventQuery {
  type?: string
  team?: string
  /** Recorded from here on, milliseconds since 1970. */
  fromMs?: number
  /** Not with this. */
  toMs?: number
  order: Order
  limit: number
  /** What comes behind this log index, in `order`. */
  after?: number
}

export interface EventRow {
  index: number
  /** The record, as it is in the log. */
  record: Uint8Array
}

export interface EventPage {
  rows: EventRow[]
  next?: number
}

export function createEventReader(database: DatabaseSync, names: Names, state: State): (query: EventQuery) => EventPage {
  const byTime = lowerBound(database, 'events', 'log_index', 'at_ms')
  return ({ type, team, fromMs, toMs, order, limit, after }) => {
    let low = fromMs === undefined ? 0 : byTime(fromMs, state.size)
    let high = toMs === undefined ? state.size : byTime(toMs, state.size)
    if (after !== undefined) {
      if (order === 'oldest') low = Math.max(low, after + 1)
      else high = Math.min(high, after)
    }
    const conditions = ['log_index >= ?', 'log_index < ?']
    const values: SQLInputValue[] = [low, high]
    for (const [column, text] of [['type', type], ['team', team]] as const) {
      if (text === undefined) continue
      const name = names.find(text)
      if (name === undefined) return { rows: [] }
      conditions.push(`${column} = ?`)
      values.push(name)
    }
    const found = database
      .prepare(`SELECT log_index, record FROM events WHERE ${conditions.join(' AND ')} ORDER BY log_index ${order === 'oldest' ? 'ASC' : 'DESC'} LIMIT ?`)
      .all(...values, limit + 1)
    const rows = found.slice(0, limit).map((row): EventRow => ({ index: Number(row['log_index']), record: row['record'] instanceof Uint8Array ? row['record'] : new Uint8Array() }))
    const last = rows.at(-1)
    return found.length > limit && last !== undefined ? { rows, next: last.index } : { rows }
  }
}
