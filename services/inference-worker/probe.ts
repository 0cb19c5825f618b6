import type { Engine, GeneratingEngine, RemoteEngine } from './engines/engine.ts'
import type { Slots } from './slots.ts'

/** Lets the engine work on one token in a slot of its own, as for a request. Throws when it does, or has nothing to give. */
export async function probe(engine: Engine, slots: Slots, signal: AbortSignal): Promise<void> {
  const slot = await slots.acquire(signal)
  try {
    if (engine.kind === 'embedding') await engine.embed([0], signal)
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

async function decodeOne(engine: GeneratingEngine | RemoteEngine, slot: number, signal: AbortSignal): Promise<void> {
  const request = { slot, tokens: [0], sampling: greedy, topLogprobs: undefined }
  const tokens =
    engine.kind === 'remote'
      ? engine.complete({ ...request, team: '', answered: 0, maxTokens: 1, forbidden: undefined }, signal)
      : engine.decode({ ...request, guide: undefined }, signal)
  const { done } = await tokens.next()
  await tokens.return()
  if (done === true) throw new Error('the engine gave no token')
}
