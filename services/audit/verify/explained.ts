import { type LogRecord, prunedClasses, type PrunedClass } from '../records/record.ts'

/** Holds records that are gone against what the log says was dropped: whoever can change its files could make one look so. */
export interface Explained {
  /** A record that is there, in the order of the log. */
  record(record: LogRecord): void
  /** A record of which only the hash is left. */
  gone(index: number): void
  /** A record that nobody said would go, or undefined. `index` is the last one that is gone; it may be another where only the count tells. */
  missing(): { index: number; count: number } | undefined
}

export function createExplained(): Explained {
  const prunedTo = new Map<PrunedClass, number>(prunedClasses.map((one) => [one, 0]))
  let announced = 0
  let count = 0
  let last = -1
  return {
    record(record) {
      // As the index takes it in: one that does not go on from the one before does not count.
      if (record.type !== 'log.pruned' || record.from !== prunedTo.get(record.class) || record.to <= record.from) return
      prunedTo.set(record.class, record.to)
      announced += record.entries
    },
    gone(index) {
      count += 1
      last = index
    },
    missing() {
      if (count <= announced && last < Math.max(...prunedTo.values())) return undefined
      return count === 0 ? undefined : { index: last, count: Math.max(1, count - announced) }
    },
  }
}
