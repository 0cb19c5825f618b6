import type { RequestRefused } from '../../proto/gen/intramuros/v1/audit.ts'

export type Refusal = Omit<RequestRefused, 'instance' | 'count'>

export interface RefusalsOptions {
  record(refused: Refusal & { count: number }): void
  /** Milliseconds, of a clock that never runs backwards. */
  now(): number
  /** Calls `run` once after a while; the function it returns stops that. */
  schedule(run: () => void, ms: number): () => void
}

/**
 * Requests that were turned away, made into records that nobody can fill a disk with: the first of a kind at once, then how many more
 * there were, at most once a second and less and less often while it goes on. All are counted, however many kinds there are: those for
 * which there is no room are told together, by their reason alone.
 */
export interface Refusals {
  note(refusal: Refusal): void
  /** Records what is counted and not told yet. */
  flush(): void
}

interface Kind {
  refusal: Refusal
  /** Since the last record. */
  count: number
  intervalMs: number
  dueAt: number
  notedAt: number
}

const firstIntervalMs = 1000
const longestIntervalMs = 60_000
/** What was not met for so long begins anew. */
const quietMs = 10_000
const maxKinds = 256
/** First ones that are told at once: so many in a row, then so many a second. */
const burst = 64
const perSecond = 4

export function createRefusals({ record, now, schedule }: RefusalsOptions): Refusals {
  const kinds = new Map<string, Kind>()
  let tokens = burst
  let refilledAt = now()
  let stop: (() => void) | undefined

  function mayTellAtOnce(): boolean {
    const time = now()
    tokens = Math.min(burst, tokens + ((time - refilledAt) / 1000) * perSecond)
    refilledAt = time
    if (tokens < 1) return false
    tokens -= 1
    return true
  }

  function tick(): void {
    stop = undefined
    const time = now()
    for (const [key, kind] of kinds) {
      if (kind.dueAt > time) continue
      if (kind.count === 0) {
        if (time - kind.notedAt >= quietMs) kinds.delete(key)
        continue
      }
      tell(kind)
      kind.intervalMs = Math.min(longestIntervalMs, kind.intervalMs * 2)
      kind.dueAt = time + kind.intervalMs
    }
    watch()
  }

  function watch(): void {
    if (kinds.size > 0) stop ??= schedule(tick, firstIntervalMs)
  }

  function tell(kind: Kind): void {
    record({ ...kind.refusal, count: kind.count })
    kind.count = 0
  }

  function open(key: string, refusal: Refusal): Kind {
    const kind = { refusal, count: 0, intervalMs: firstIntervalMs, dueAt: now() + firstIntervalMs, notedAt: now() }
    kinds.set(key, kind)
    watch()
    return kind
  }

  return {
    note(refusal) {
      const { team, keyId, source, endpoint, reason } = refusal
      const key = [reason, team, keyId, source, endpoint].join('\n')
      let kind = kinds.get(key)
      if (kind === undefined && kinds.size < maxKinds && mayTellAtOnce()) {
        record({ ...refusal, count: 1 })
        open(key, refusal)
        return
      }
      kind ??= kinds.get(reason) ?? open(reason, { team: '', keyId: '', source: '', endpoint: '', reason })
      kind.count += 1
      kind.notedAt = now()
    },
    flush() {
      stop?.()
      stop = undefined
      for (const kind of kinds.values()) if (kind.count > 0) tell(kind)
      kinds.clear()
    },
  }
}
