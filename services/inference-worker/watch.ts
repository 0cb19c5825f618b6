import { setTimeout as after } from 'node:timers/promises'
import type { PrefixDelta, WorkerState } from '../../proto/gen/intramuros/v1/inference.ts'
import { prefixHashes } from '../shared/prefix-hashes.ts'
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
  const unsubscribe = slots.subscribe(() => changed.resolve())
  const nextDelta = createDeltas()
  signal.addEventListener('abort', stop, { once: true })
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers()
      yield {
        model: engine.model,
        contextLength: engine.contextLength,
        slots: engine.slots,
        running: slots.running,
        queued: slots.queued,
        queuedByTeam: Object.fromEntries(slots.queuedByTeam()),
        tokensInFlight: BigInt(load.tokensInFlight),
        prefillTokensPerSecond: load.prefillTokensPerSecond,
        decodeTokensPerSecond: load.decodeTokensPerSecond,
        prefixes: nextDelta(slots.held()),
      }
      // Changes in this time come together in the next state.
      await after(leastMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted) await changed.promise
    }
  } finally {
    unsubscribe()
    signal.removeEventListener('abort', stop)
  }
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
