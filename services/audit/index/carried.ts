import { prunedClasses, type PrunedClass } from '../records/record.ts'
import { type ClassRange, placeOf } from './range-usage.ts'
import type { ReadRecord } from './read-record.ts'
import type { State } from './state.ts'
import { type CarriedUsage, usageFields, type UsageSums } from './usage-fold.ts'
import type { UsageWriter } from './usage-writer.ts'

/** Takes in what the log says of records that are gone from it. */
export interface Carried {
  /** A log.pruned. */
  announced(record: ReadRecord): void
  /** A usage.carried, which stands behind its log.pruned. */
  carried(record: ReadRecord): void
}

/**
 * An index that has met the records themselves has counted them, one that was made later has not, or some of them: the pruner may have been
 * interrupted. So of what is carried that is added which exceeds what `counted` finds in the same range. All rows of that range that there
 * ever were must be in the index by then, and be there until it has met the last usage.carried.
 */
export function createCarried(state: State, usage: UsageWriter, counted: (range: ClassRange) => CarriedUsage[]): Carried {
  let range: (ClassRange & { sums: ReadonlyMap<string, UsageSums> }) | undefined

  function countedIn(wanted: ClassRange): ReadonlyMap<string, UsageSums> {
    if (range?.class !== wanted.class || range.from !== wanted.from || range.to !== wanted.to) {
      range = { ...wanted, sums: new Map(counted(wanted).map((sums) => [placeOf(sums), sums])) }
    }
    return range.sums
  }

  return {
    announced(record) {
      const known = prunedClasses.find((name) => name === record.text('class'))
      const [from, to] = [record.number('from'), record.number('to')]
      // One that was given up and written all the same may stand in front of another of the same records: the first counts.
      state.carrying = known !== undefined && from === prunedTo(state, known) && to > from ? known : ''
      if (known !== undefined && state.carrying !== '') state[fieldOf[known]] = to
    },
    carried(record) {
      const known = prunedClasses.find((name) => name === state.carrying)
      if (known === undefined) return
      const place = { month: record.text('month'), team: record.text('team'), keyId: record.text('keyId'), subject: record.text('subject'), model: record.text('model') }
      const before = countedIn({ class: known, from: record.number('from'), to: record.number('to') }).get(placeOf(place))
      const more = usageFields.map((field) => [field, Math.max(0, record.number(field) - (before?.[field] ?? 0))] as const)
      if (more.some(([, count]) => count > 0)) usage.carried(place.month, place, Object.fromEntries(more))
    },
  }
}

const fieldOf = { requests: 'requestsTo', security: 'securityTo', administration: 'administrationTo' } as const

/** Behind the last record of a class that the log says it has dropped; 0: none. */
export function prunedTo(state: State, of: PrunedClass): number {
  return state[fieldOf[of]]
}
