import type { DatabaseSync } from 'node:sqlite'
import type { PrunedClass } from '../records/record.ts'
import { lowerBound } from './lower-bound.ts'
import type { Names } from './names.ts'
import { readRecord } from './read-record.ts'
import type { State } from './state.ts'
import { addUsage, type CarriedUsage, dayOf, monthOf, noUsage, usageFields, usageOfEvent, type UsageSums } from './usage-fold.ts'
import { usageColumns } from './usage-writer.ts'

/** Records of a class with a log index from one up to, not with, another. */
export interface ClassRange {
  class: PrunedClass
  from: number
  to: number
}

/** What the records of a range that the index has rows of are counted as in usage: by month, team, key, subject and model. */
export function createRangeUsage(database: DatabaseSync, names: Names, state: State): (range: ClassRange) => CarriedUsage[] {
  const sums = [...usageColumns].map((column) => (column === 'requests' ? 'count(*) AS requests' : column === 'refused' ? '0 AS refused' : `sum(${column}) AS ${column}`)).join(', ')
  const ended = database.prepare(
    `SELECT strftime('%Y-%m', ended_ms / 1000, 'unixepoch') AS month, team, key_id, subject, model, ${sums}
     FROM requests WHERE n < ? AND end_index >= ? AND end_index < ? GROUP BY 1, team, key_id, subject, model`,
  )
  const events = database.prepare('SELECT record FROM events WHERE type = ? AND log_index >= ? AND log_index < ?')
  const byIndex = lowerBound(database, 'requests', 'n', 'begin_index')

  return ({ class: wanted, from, to }) => {
    const found = new Map<string, CarriedUsage>()
    const add = (whose: Omit<CarriedUsage, keyof UsageSums>, more: Partial<UsageSums>): void => {
      const key = placeOf(whose)
      let sum = found.get(key)
      if (sum === undefined) found.set(key, (sum = { ...whose, ...noUsage() }))
      addUsage(sum, more)
    }
    if (wanted === 'requests') {
      for (const row of ended.iterate(byIndex(to, state.requests), from, to)) {
        const name = (column: string): string => names.textOf(Number(row[column]))
        const whose = { month: String(row['month']), team: name('team'), keyId: name('key_id'), subject: name('subject'), model: name('model') }
        add(whose, Object.fromEntries(usageFields.map((field, at) => [field, Number(row[usageColumns[at] ?? ''])])))
      }
    }
    const type = typeOf[wanted] === undefined ? undefined : names.find(typeOf[wanted])
    if (type === undefined) return [...found.values()]
    for (const { record } of events.iterate(type, from, to)) {
      const read = record instanceof Uint8Array ? readRecord(record) : undefined
      const used = read && usageOfEvent(read)
      if (used !== undefined) add({ month: monthOf(dayOf(used.atMs)), ...used.whose }, used.sums)
    }
    return [...found.values()]
  }
}

/** Beside ends of requests, the one type of record of a class that tells of use. */
const typeOf: Partial<Record<PrunedClass, string>> = { requests: 'request.unrecorded', security: 'request.refused' }

/** Tells sums of other months, teams or people apart. */
export function placeOf({ month, team, keyId, subject, model }: Omit<CarriedUsage, keyof UsageSums>): string {
  return [month, team, keyId, subject, model].join(' ')
}
