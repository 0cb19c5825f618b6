import type { Engine } from './engines/engine.ts'
import { NoNumbersError } from './engines/no-numbers-error.ts'

/** Lets the engine work on one token, in a slot that no request has. Throws when it does, or NoNumbersError when what comes of it are none. */
export async function probe(engine: Engine, slot: number, signal: AbortSignal): Promise<void> {
  if (engine.kind === 'embedding') requireNumbers(await engine.embed([0], signal))
  else if (engine.kind === 'ranking') requireNumbers([await engine.rank([0], signal)])
  else await engine.check(slot, signal)
}

function requireNumbers(values: ArrayLike<number>): void {
  if (!Array.from(values).every(Number.isFinite)) throw new NoNumbersError()
}
