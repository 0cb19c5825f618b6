import { chooseGroups, type EvaluationGroups } from './evaluation-groups.ts'
import type { LlamaInternals } from './llama-internals.ts'

/** Milliseconds that measuring may take when a model is loaded; what is not measured by then is guessed from what is. */
const budgetMs = 1500
/** The machine may do something else meanwhile: the quickest of so many counts. */
const repetitions = 3
/** Beyond it, more tokens make an evaluation cheaper a token on any machine. */
const mostMeasured = 16

/** Measures how many sequences' next tokens are best evaluated together. The sequences must be empty, and are afterwards. */
export async function measureGroups(internals: Pick<LlamaInternals, 'decode' | 'drop'>, sequences: number, now: () => number): Promise<EvaluationGroups | undefined> {
  const measured = new Map<number, number>()
  const until = now() + budgetMs
  // The first one allocates.
  await evaluate(internals, 1)
  for (const size of sizesToMeasure(Math.min(sequences, mostMeasured))) {
    if (now() >= until && measured.size >= 2) break
    for (let time = 0; time < repetitions; time += 1) {
      const began = now()
      await evaluate(internals, size)
      measured.set(size, Math.min(now() - began, measured.get(size) ?? Number.POSITIVE_INFINITY))
      if (now() >= until) break
    }
  }
  return chooseGroups(measured)
}

/** The one that all others are compared with, the most, and then from few to many. */
function sizesToMeasure(most: number): Set<number> {
  return new Set([1, most, ...Array.from({ length: most }, (_, index) => index + 1)])
}

async function evaluate({ decode, drop }: Pick<LlamaInternals, 'decode' | 'drop'>, count: number): Promise<void> {
  const entries = Array.from({ length: count }, (_, sequence) => ({ sequence, position: 0, tokens: Uint32Array.of(0), logits: true }))
  await decode(entries)
  for (const { sequence } of entries) if (!drop(sequence, 0)) throw new Error('the slot could not be emptied')
}
