import type { Engine, GeneratingEngine } from './engines/engine.ts'
import type { Slots } from './slots.ts'

/** Lets the engine work on one token in a slot of its own, as for a request. Throws when it does, or has nothing to give. */
export async function probe(engine: Engine, slots: Slots, signal: AbortSignal): Promise<void> {
  const slot = await slots.acquire(signal)
  try {
    if (engine.kind === 'embedding') await engine.embed([0], signal)
    else if (engine.kind === 'ranking') await engine.rank([0], signal)
    else await decodeOne(engine, slot.index, signal)
  } finally {
    slot.release()
  }
}

const greedy = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repeatPenalty: 1,
  penaltyWindow: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map<number, number>(),
  seed: 0,
} as const

async function decodeOne(engine: GeneratingEngine, slot: number, signal: AbortSignal): Promise<void> {
  const tokens = engine.decode({ slot, tokens: [0], sampling: greedy, guide: undefined, topLogprobs: undefined }, signal)
  const { done } = await tokens.next()
  await tokens.return()
  if (done === true) throw new Error('the engine gave no token')
}
