import type { DatabaseSync } from 'node:sqlite'
import type { Names } from './names.ts'
import type { ReadRecord } from './read-record.ts'
import { addUsage, createUsageTally, dayMs, dayOf, daysOfMonth, type EventUsage, monthOf, noUsage, type TeamUsage, usageFields, usageOfEvent, type UsageSums } from './usage-fold.ts'

/** Whose a request was, as numbers of names. */
export interface Whose {
  keyId: number
  subject: number
  model: number
}

/** Folds records into the sums by day, team, key, subject and model. A request counts on the day on which it ended. */
export interface UsageWriter {
  /** `whose` is of its begin. */
  ended(record: ReadRecord, whose: Whose): void
  /** Records that are no end of a request; those that tell of no use are passed over. */
  other(record: ReadRecord): void
  /** What records were counted as that are gone, of a whole month: it counts on the month's first day. */
  carried(month: string, whose: EventUsage['whose'], sums: Partial<UsageSums>): void
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

  function add(atMs: number, team: string, { keyId, subject, model }: Whose, more: Partial<UsageSums>): void {
    const day = dayOf(atMs)
    const place = [day, names.idOf(team), keyId, subject, model]
    const key = `${day} ${place[1]} ${keyId} ${subject} ${model}`
    let sum = sums.get(key)
    if (sum === undefined) sums.set(key, (sum = { place, team, sums: noUsage() }))
    addUsage(sum.sums, more)
  }

  function numbersOf({ keyId, subject, model }: EventUsage['whose']): Whose {
    return { keyId: names.idOf(keyId), subject: names.idOf(subject), model: names.idOf(model) }
  }

  return {
    ended(record, whose) {
      const tokens = { inputTokens: record.number('inputTokens'), cachedTokens: record.number('cachedTokens'), outputTokens: record.number('outputTokens') }
      add(record.atMs, record.text('team'), whose, { requests: 1, ...tokens, workerUs: record.number('workerUs') })
    },
    other(record) {
      const used = usageOfEvent(record)
      if (used !== undefined) add(used.atMs, used.whose.team, numbersOf(used.whose), used.sums)
    },
    carried(month, whose, more) {
      const days = daysOfMonth(month)
      if (days !== undefined) add(days.from * dayMs, whose.team, numbersOf(whose), more)
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
