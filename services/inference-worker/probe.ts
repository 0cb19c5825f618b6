import type { Engine } from './engines/engine.ts'
import type { Slots } from './slots.ts'

/** Decodes one token in a slot of its own, as a request would. Throws when the engine does, or has no token to give. */
export async function probe(engine: Engine, slots: Slots, signal: AbortSignal): Promise<void> {
  const slot = await slots.acquire(signal)
  try {
    const tokens = engine.decode({ slot: slot.index, tokens: [0], temperature: 0, topP: 1, seed: 0 }, signal)
    const { done } = await tokens.next()
    await tokens.return()
    if (done === true) throw new Error('the engine gave no token')
  } finally {
    slot.release()
  }
}
