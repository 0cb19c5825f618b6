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
  const unsubscribe = slots.subscribe(() => changed.resolve())
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
