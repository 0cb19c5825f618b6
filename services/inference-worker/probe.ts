import type { Engine } from './engines/engine.ts'

/** Lets the engine work on one token, in a slot that no request has. Throws when it does. */
export async function probe(engine: Engine, slot: number, signal: AbortSignal): Promise<void> {
  if (engine.kind === 'embedding') await engine.embed([0], signal)
  else if (engine.kind === 'ranking') await engine.rank([0], signal)
  else await engine.check(slot, signal)
}
