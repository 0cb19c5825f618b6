import type { DatabaseSync } from 'node:sqlite'

/**
 * Where a column that never falls as the key grows first reaches a value: the least key k so that no row before k has reached it. By halves,
 * over keys from 0 to `end`, some of which may have no row. So no index of the column is needed.
 */
export function lowerBound(database: DatabaseSync, table: string, key: string, column: string): (value: number, end: number) => number {
  const from = database.prepare(`SELECT ${column} AS found FROM ${table} WHERE ${key} >= ? ORDER BY ${key} LIMIT 1`)
  return (value, end) => {
    let low = 0
    let high = end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const found = from.get(middle)?.['found']
      if (found !== undefined && Number(found) < value) low = middle + 1
      else high = middle
    }
    return low
  }
}
