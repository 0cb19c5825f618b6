import type { ReadRecord } from './read-record.ts'

/** What was used, summed up. */
export interface UsageSums {
  /** Requests that ended. */
  requests: number
  /** Requests that were turned away. */
  refused: number
  inputTokens: number
  /** Of the input tokens, those that were cached. */
  cachedTokens: number
  outputTokens: number
  /** Microseconds of a worker's time. */
  workerUs: number
}

export const usageFields = ['requests', 'refused', 'inputTokens', 'cachedTokens', 'outputTokens', 'workerUs'] as const satisfies readonly (keyof UsageSums)[]

export function noUsage(): UsageSums {
  return { requests: 0, refused: 0, inputTokens: 0, cachedTokens: 0, outputTokens: 0, workerUs: 0 }
}

export function addUsage(to: UsageSums, more: Partial<UsageSums>): void {
  for (const field of usageFields) to[field] += more[field] ?? 0
}

/** What a team used in a month, or how much more than before. */
export interface TeamUsage extends UsageSums {
  /** "2026-11", UTC. */
  month: string
  team: string
}

/** Of whom and what usage is summed up, by month. */
export interface CarriedUsage extends UsageSums {
  /** "2026-11", UTC. */
  month: string
  team: string
  keyId: string
  subject: string
  model: string
}

/** What a record that is no end of a request says was used; undefined for one that tells of no use. */
export function usageOfEvent(record: ReadRecord): EventUsage | undefined {
  const whose = { team: record.text('team'), keyId: record.text('keyId'), subject: '', model: record.text('model') }
  if (record.type === 'request.refused') return { atMs: record.atMs, whose: { ...whose, model: '' }, sums: { refused: record.number('count') } }
  if (record.type !== 'request.unrecorded') return undefined
  const began = Date.parse(record.text('beganAt'))
  // It was used when it began, not when the log could be written again.
  const atMs = Number.isNaN(began) ? record.atMs : Math.min(began, record.atMs)
  return { atMs, whose, sums: { requests: 1, inputTokens: record.number('inputTokens'), outputTokens: record.number('outputTokens') } }
}

export interface EventUsage {
  atMs: number
  whose: { team: string; keyId: string; subject: string; model: string }
  sums: Partial<UsageSums>
}

export const dayMs = 86_400_000

/** Days since 1970, UTC: what usage is kept by. */
export function dayOf(ms: number): number {
  return Math.floor(ms / dayMs)
}

export function monthOf(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 7)
}

/** "2026-11-23" */
export function dateOf(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10)
}

/** First day of a month, and first of the next; undefined for what is no month. */
export function daysOfMonth(month: string): { from: number; to: number } | undefined {
  const [, year, number] = /^([0-9]{4})-(0[1-9]|1[0-2])$/.exec(month) ?? []
  if (year === undefined || number === undefined) return undefined
  return { from: dayOf(Date.UTC(Number(year), Number(number) - 1)), to: dayOf(Date.UTC(Number(year), Number(number))) }
}

/** Collects what is used by month and team. */
export interface UsageTally {
  add(month: string, team: string, more: Partial<UsageSums>): void
  /** What was added since the last time. */
  take(): TeamUsage[]
}

export function createUsageTally(): UsageTally {
  let sums = new Map<string, TeamUsage>()
  return {
    add(month, team, more) {
      const key = `${month} ${team}`
      let sum = sums.get(key)
      if (sum === undefined) sums.set(key, (sum = { month, team, ...noUsage() }))
      addUsage(sum, more)
    },
    take() {
      const taken = [...sums.values()]
      sums = new Map()
      return taken
    },
  }
}
