import type { DatabaseSync } from 'node:sqlite'
import type { Names } from './names.ts'
import { dateOf, daysOfMonth, monthOf, type TeamUsage, usageFields, type UsageSums } from './usage-fold.ts'
import { usageColumns } from './usage-writer.ts'

export type UsageBy = 'team' | 'model' | 'key' | 'subject' | 'month' | 'day'

export interface UsageQuery {
  /** Days since 1970, UTC. */
  fromDay: number
  /** Not with this. */
  toDay: number
  team?: string
  /** What rows stand for, at least one; sums over the rest. */
  by: readonly UsageBy[]
}

/** Sums, and what they are of: those fields are filled that the question named. */
export interface UsageRow extends UsageSums {
  team?: string
  model?: string
  key?: string
  subject?: string
  /** "2026-11" */
  month?: string
  /** "2026-11-23" */
  day?: string
}

const nameColumns = { team: 'team', model: 'model', key: 'key_id', subject: 'subject' } as const

export interface UsageReader {
  rows(query: UsageQuery): UsageRow[]
  /** What teams used from a month on. */
  byTeam(fromMonth: string): TeamUsage[]
}

export function createUsageReader(database: DatabaseSync, names: Names): UsageReader {
  const sums = usageColumns.map((column) => `sum(${column}) AS ${column}`).join(', ')

  function rows({ fromDay, toDay, team, by }: UsageQuery): UsageRow[] {
    const wanted = by.flatMap((one) => (one in nameColumns ? [nameColumns[one as keyof typeof nameColumns]] : []))
    const perDay = by.includes('day') || by.includes('month')
    const group = [...(perDay ? ['day'] : []), ...wanted].join(', ')
    const teamId = team === undefined ? undefined : names.find(team)
    if (team !== undefined && teamId === undefined) return []
    const found = database
      .prepare(`SELECT ${group}, ${sums} FROM usage WHERE day >= ? AND day < ? ${teamId === undefined ? '' : 'AND team = ?'} GROUP BY ${group}`)
      .all(fromDay, toDay, ...(teamId === undefined ? [] : [teamId]))
    const collected = new Map<string, UsageRow>()
    for (const row of found) {
      const place: Omit<UsageRow, keyof UsageSums> = {}
      for (const one of by) {
        if (one === 'day') place.day = dateOf(Number(row['day']))
        else if (one === 'month') place.month = monthOf(Number(row['day']))
        else place[one] = names.textOf(Number(row[nameColumns[one]]))
      }
      const key = JSON.stringify(place)
      const added = collected.get(key)
      const own = Object.fromEntries(usageFields.map((field, at) => [field, Number(row[usageColumns[at] ?? '']) + (added?.[field] ?? 0)])) as unknown as UsageSums
      collected.set(key, { ...place, ...own })
    }
    return [...collected.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
  }

  return {
    rows,
    byTeam(fromMonth) {
      const fromDay = daysOfMonth(fromMonth)?.from ?? 0
      return rows({ fromDay, toDay: Number.MAX_SAFE_INTEGER, by: ['month', 'team'] }).map(({ month = '', team = '', ...used }) => ({ month, team, ...used }))
    },
  }
}
