import { setTimeout as after } from 'node:timers/promises'
import type { PrefixDelta, WorkerState } from '../../proto/gen/intramuros/v1/inference.ts'
import { prefixHashes } from '../shared/prefix-hashes.ts'
import { packageVersion } from '../shared/supervision.ts'
import type { Engine } from './engines/engine.ts'
import type { WorkerLoad } from './load.ts'
import type { HeldPrefix } from './slot-choice.ts'
import type { Slots } from './slots.ts'

/** Least milliseconds between two states: ten a second. */
const leastMs = 100

export interface Watched {
  engine: Engine
  slots: Slots
  load: WorkerLoad
}

/** What the worker serves, how busy it is and what it holds: at once, then after each change. Ends without an error when the signal aborts. */
export async function* watch({ engine, slots, load }: Watched, signal: AbortSignal): AsyncGenerator<WorkerState, void, undefined> {
  let changed = Promise.withResolvers<void>()
  const stop = (): void => changed.resolve()
  const unsubscribe = [slots, engine.upstream].map((source) => source?.subscribe(() => changed.resolve()))
  const nextDelta = createDeltas()
  const version = packageVersion()
  signal.addEventListener('abort', stop, { once: true })
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers()
      yield {
        model: engine.model,
        contextLength: engine.contextLength,
        slots: engine.slots,
        ...loadOf(engine, slots),
        queuedByTeam: Object.fromEntries(slots.queuedByTeam()),
        tokensInFlight: BigInt(load.tokensInFlight),
        prefillTokensPerSecond: load.prefillTokensPerSecond,
        decodeTokensPerSecond: load.decodeTokensPerSecond,
        prefixes: nextDelta(slots.held()),
        version,
      }
      // Changes in this time come together in the next state.
      await after(leastMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted) await changed.promise
    }
  } finally {
    for (const end of unsubscribe) end?.()
    signal.removeEventListener('abort', stop)
  }
}

/**
 * What waits in a server behind the worker waits, though it has one of the worker's slots; and the requests of its other clients are in the
 * way, too.
 */
export function loadOf({ upstream }: Pick<Engine, 'upstream'>, { running, queued }: Pick<Slots, 'running' | 'queued'>): { running: number; queued: number } {
  const load = upstream?.load
  if (load === undefined) return { running, queued }
  return { running: Math.max(running - load.waiting, load.running), queued: queued + load.waiting }
}

/** Called with all that is held, says what has changed since the last time. */
function createDeltas(): (held: readonly HeldPrefix[]) => PrefixDelta {
  const hashesOf = new WeakMap<HeldPrefix, readonly bigint[]>()
  let told: ReadonlySet<bigint> | undefined
  return (held) => {
    const now = new Set<bigint>()
    for (const prefix of held) {
      let hashes = hashesOf.get(prefix)
      if (hashes === undefined) {
        hashes = prefixHashes(prefix.team, prefix.tokens)
        hashesOf.set(prefix, hashes)
      }
      for (const one of hashes) now.add(one)
    }
    const before = told ?? new Set<bigint>()
    const delta = { reset: told === undefined, added: [...now.difference(before)], removed: [...before.difference(now)] }
    told = now
    return delta
  }
}
