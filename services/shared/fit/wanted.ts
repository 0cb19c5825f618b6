import { parseSize } from './budget.ts'
import type { Wanted } from './choose.ts'

/** Most tokens of a decode call on the CPU: more of them save nothing there and only make it longer. */
const batchOnCpu = 64

/** The batch sizes that the engine uses for the one that is set. */
export function batchSizes(batchSize: number): Wanted['batchSize'] {
  return { gpu: batchSize, cpu: Math.min(batchSize, batchOnCpu) }
}

/** Layers with a window keep what is in it, and no more: what has left it is gone for the prefix cache too, which asks first. */
export const fullWindows = false

/** Bytes of a memory setting; undefined when it is left to what is free. */
export function sizeSetting(text: string): number | undefined {
  return text === '' ? undefined : parseSize(text)
}
