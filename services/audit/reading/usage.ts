import { type TeamMonthUsage, UsageBy, type UsageReport, type UsageRequest, type UsageSums as UsageSumsMessage, type UsageUpdate, type WatchUsageRequest } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import type { LogIndex } from '../index/log-index.ts'
import { addUsage, daysOfMonth, type TeamUsage, type UsageSums } from '../index/usage-fold.ts'
import type { UsageBy as Column } from '../index/usage-reader.ts'
import { invalid } from './reads.ts'

const columns: Partial<Record<UsageBy, Column>> = {
  [UsageBy.TEAM]: 'team',
  [UsageBy.MODEL]: 'model',
  [UsageBy.KEY]: 'key',
  [UsageBy.SUBJECT]: 'subject',
  [UsageBy.MONTH]: 'month',
  [UsageBy.DAY]: 'day',
}

/** Throws INVALID_ARGUMENT invalid_request, UNAVAILABLE index_unavailable. */
export async function reportUsage(index: LogIndex, { month, team, by }: UsageRequest): Promise<UsageReport> {
  const days = month === '' ? { from: 0, to: Number.MAX_SAFE_INTEGER } : daysOfMonth(month)
  if (days === undefined) throw invalid('the month is not of the form 2026-11')
  const wanted = by.map((one) => columns[one]).filter((column) => column !== undefined)
  if (wanted.length === 0 || wanted.length !== by.length) throw invalid('it does not say what a row is to stand for')
  const { rows, fromMs } = await index.ask('usage', { fromDay: days.from, toDay: days.to, by: wanted, ...(team !== '' && { team }) })
  return {
    rows: rows.map((row) => ({
      team: row.team ?? '',
      model: row.model ?? '',
      keyId: row.key ?? '',
      subject: row.subject ?? '',
      month: row.month ?? '',
      day: row.day ?? '',
      sums: sumsOf(row),
    })),
    wholeFromMs: BigInt(fromMs),
  }
}

/** A snapshot, then what came to it. What comes while the caller does not read is summed up, so that it can't pile up. */
export async function* watchUsage(index: LogIndex, { fromMonth }: WatchUsageRequest, signal: AbortSignal): AsyncGenerator<UsageUpdate, void, undefined> {
  if (daysOfMonth(fromMonth) === undefined) throw invalid('the month is not of the form 2026-11')
  let waiting: { used: readonly TeamUsage[]; size: number }[] = []
  let sums = new Map<string, TeamUsage>()
  let size = 0
  let counted: number | undefined
  let wake: (() => void) | undefined

  function add(step: { used: readonly TeamUsage[]; size: number }): void {
    if (counted === undefined) {
      waiting.push(step)
      return
    }
    // The snapshot counts it.
    if (step.size <= counted || step.used.length === 0) return
    size = step.size
    for (const more of step.used) {
      const key = `${more.month} ${more.team}`
      const sum = sums.get(key)
      if (sum === undefined) sums.set(key, { ...more })
      else addUsage(sum, more)
    }
    wake?.()
  }

  const stop = index.onUsage((used, reached) => add({ used, size: reached }))
  const aborted = (): void => wake?.()
  signal.addEventListener('abort', aborted)
  try {
    const snapshot = await index.ask('usageByTeam', fromMonth)
    counted = snapshot.size
    yield { snapshot: true, used: snapshot.rows.map(messageOf), size: BigInt(counted) }
    for (const step of waiting) add(step)
    waiting = []
    for (;;) {
      signal.throwIfAborted()
      if (sums.size === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      const used = [...sums.values()].map(messageOf)
      sums = new Map()
      yield { snapshot: false, used, size: BigInt(size) }
    }
  } finally {
    stop()
    signal.removeEventListener('abort', aborted)
  }
}

function messageOf({ month, team, ...sums }: TeamUsage): TeamMonthUsage {
  return { month, team, sums: sumsOf(sums) }
}

function sumsOf({ requests, refused, inputTokens, cachedTokens, outputTokens, workerUs }: UsageSums): UsageSumsMessage {
  return {
    requests: BigInt(requests),
    refused: BigInt(refused),
    inputTokens: BigInt(inputTokens),
    cachedTokens: BigInt(cachedTokens),
    outputTokens: BigInt(outputTokens),
    workerUs: BigInt(workerUs),
  }
}
