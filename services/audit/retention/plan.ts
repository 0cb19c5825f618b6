import { prunedClasses, type PrunedClass } from '../records/record.ts'
import { fullWidth } from '../tlog/tile-path.ts'

/** How long records are kept, in days; audit.retention. */
export interface Retention {
  requestsDays: number
  securityDays: number
  administrationDays: number
}

const dayMs = 86_400_000

/** Six months have at most so many days: AI Act, articles 19(1) and 26(6). */
export const leastLawfulDays = 184
/** A year has at most so many: what the CNIL advises as the longest time for logs. */
export const mostAdvisedDays = 366

export function daysOf(retention: Retention, of: PrunedClass): number {
  return retention[`${of}Days`]
}

/** Records of a class go that were recorded before this, milliseconds since 1970. */
export function cutOff(retention: Retention, of: PrunedClass, nowMs: number): number {
  return nowMs - daysOf(retention, of) * dayMs
}

export interface DoubtfulRetention {
  setting: string
  days: number
  /** too_short: less than six months. too_long: more than a year. */
  why: 'too_short' | 'too_long'
}

/** Settings outside of what the law and its authorities ask for. */
export function doubtfulRetention(retention: Retention): DoubtfulRetention[] {
  return prunedClasses.flatMap((of) => {
    const days = daysOf(retention, of)
    if (days >= leastLawfulDays && days <= mostAdvisedDays) return []
    return [{ setting: `audit.retention.${of}Days`, days, why: days < leastLawfulDays ? ('too_short' as const) : ('too_long' as const) }]
  })
}

/** Cuts ascending indexes where another bundle begins, so that no part is of more than so many bundles, and no bundle of two parts. */
export function* byBundles(indexes: readonly number[], mostBundles: number): Generator<number[], void, undefined> {
  let part: number[] = []
  let bundles = 0
  let last = -1
  for (const index of indexes) {
    const bundle = Math.floor(index / fullWidth)
    if (bundle !== last) {
      if (bundles === mostBundles) {
        yield part
        part = []
        bundles = 0
      }
      bundles += 1
      last = bundle
    }
    part.push(index)
  }
  if (part.length > 0) yield part
}
