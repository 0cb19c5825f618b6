import { setTimeout as after } from 'node:timers/promises'
import type { WorkerState } from '../../proto/gen/intramuros/v1/inference.ts'
import type { Engine } from './engines/engine.ts'
import type { Slots } from './slots.ts'

/** Least milliseconds between two states: ten a second. */
const leastMs = 100

/** What the worker serves and how busy it is: at once, then after each change. Ends without an error when the signal aborts. */
export async function* watch(engine: Engine, slots: Slots, signal: AbortSignal): AsyncGenerator<WorkerState, void, undefined> {
  let changed = Promise.withResolvers<void>()
  const stop = (): void => changed.resolve()
  const unsubscribe = [slots, engine.upstream].map((source) => source?.subscribe(() => changed.resolve()))
  signal.addEventListener('abort', stop, { once: true })
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers()
      yield {
        model: engine.model,
        contextLength: engine.contextLength,
        slots: engine.slots,
        ...loadOf(engine, slots),
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
