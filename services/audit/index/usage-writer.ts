import type { DatabaseSync } from 'node:sqlite'
import type { Names } from './names.ts'
import type { ReadRecord } from './read-record.ts'
import { addUsage, createUsageTally, dayOf, monthOf, noUsage, type TeamUsage, usageFields, type UsageSums } from './usage-fold.ts'

/** Whose a request was, as numbers of names. */
export interface Whose {
  keyId: number
  subject: number
  model: number
}

/** Folds records into the sums by day, team, key, subject and model. A request counts on the day on which it ended. */
export interface UsageWriter {
  ended(record: ReadRecord, whose: Whose | undefined): void
  refused(record: ReadRecord): void
  unrecorded(record: ReadRecord): void
  /** Within the transaction of the records. What was added, by team and month. */
  flush(): TeamUsage[]
}

const columnOf: Record<keyof UsageSums, string> = {
  requests: 'requests',
  refused: 'refused',
  inputTokens: 'input_tokens',
  cachedTokens: 'cached_tokens',
  outputTokens: 'output_tokens',
  workerUs: 'worker_us',
}
export const usageColumns = usageFields.map((field) => columnOf[field])

export function createUsageWriter(database: DatabaseSync, names: Names): UsageWriter {
  const upsert = database.prepare(
    `INSERT INTO usage (day, team, key_id, subject, model, ${usageColumns.join(', ')}) VALUES (${'?, '.repeat(5 + usageColumns.length).slice(0, -2)})
     ON CONFLICT (day, team, key_id, subject, model) DO UPDATE SET ${usageColumns.map((column) => `${column} = ${column} + excluded.${column}`).join(', ')}`,
  )
  const tally = createUsageTally()
  const sums = new Map<string, { place: number[]; team: string; sums: UsageSums }>()
  const none = names.idOf('')

  function add(atMs: number, team: string, { keyId, subject, model }: Whose, more: Partial<UsageSums>): void {
    const day = dayOf(atMs)
    const place = [day, names.idOf(team), keyId, subject, model]
    const key = `${day} ${place[1]} ${keyId} ${subject} ${model}`
    let sum = sums.get(key)
    if (sum === undefined) sums.set(key, (sum = { place, team, sums: noUsage() }))
    addUsage(sum.sums, more)
  }

  return {
    ended(record, whose = { keyId: none, subject: none, model: none }) {
      const tokens = { inputTokens: record.number('inputTokens'), cachedTokens: record.number('cachedTokens'), outputTokens: record.number('outputTokens') }
      add(record.atMs, record.text('team'), whose, { requests: 1, ...tokens, workerUs: record.number('workerUs') })
    },
    refused(record) {
      add(record.atMs, record.text('team'), { keyId: names.idOf(record.text('keyId')), subject: none, model: none }, { refused: record.number('count') })
    },
    unrecorded(record) {
      const whose = { keyId: names.idOf(record.text('keyId')), subject: none, model: names.idOf(record.text('model')) }
      const began = Date.parse(record.text('beganAt'))
      // It was used when it began, not when the log could be written again.
      const atMs = Number.isNaN(began) ? record.atMs : Math.min(began, record.atMs)
      add(atMs, record.text('team'), whose, { requests: 1, inputTokens: record.number('inputTokens'), outputTokens: record.number('outputTokens') })
    },
    flush() {
      let named = { day: Number.NaN, month: '' }
      for (const { place, team, sums: added } of sums.values()) {
        const [day = 0] = place
        if (day !== named.day) named = { day, month: monthOf(day) }
        upsert.run(...place, added.requests, added.refused, added.inputTokens, added.cachedTokens, added.outputTokens, added.workerUs)
        tally.add(named.month, team, added)
      }
      sums.clear()
      return tally.take()
    },
  }
}
