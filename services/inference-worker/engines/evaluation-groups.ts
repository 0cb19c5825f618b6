import type { BatchEntry } from './llama-internals.ts'

/**
 * How the entries of a decode step are evaluated: llama.cpp takes those together that stand in the batch in the order of their sequences'
 * numbers without a gap, and any other apart (llama-batch.cpp, split_equal). Together, the weights are read once, which is what counts
 * on a GPU, and on a CPU whose memory is slower than its cores. Where it isn't, its kernels for a few tokens can cost more than as many
 * evaluations of one.
 */
export interface EvaluationGroups {
  /** Sizes of the groups in which one token each of `count` sequences with following numbers cost least; their sum is `count`. */
  of(count: number): readonly number[]
}

/** Alone, or in fewer groups, must be so much worse: what is measured is never exact, and groups are to be the same at each start. */
const leastGain = 0.05

/**
 * `measured`: milliseconds to evaluate one token each of so many sequences together; for 1 at least. Undefined when together is best
 * whatever the number.
 */
export function chooseGroups(measured: ReadonlyMap<number, number>): EvaluationGroups | undefined {
  const most = Math.max(...measured.keys())
  const best: { ms: number; sizes: readonly number[] }[] = [{ ms: 0, sizes: [] }]
  for (let count = 1; count <= most; count += 1) {
    let chosen = { ms: interpolate(measured, count), sizes: [count] as readonly number[] }
    const threshold = chosen.ms * (1 - leastGain)
    for (const [size, ms] of measured) {
      const rest = best[count - size]
      if (size >= count || rest === undefined) continue
      const sum = ms + rest.ms
      if (sum < threshold && sum < chosen.ms) chosen = { ms: sum, sizes: [size, ...rest.sizes].toSorted((a, b) => b - a) }
    }
    best.push(chosen)
  }
  if (best.every(({ sizes }) => sizes.length < 2)) return undefined
  return {
    of(count) {
      const whole = Math.floor(Math.max(0, count - 1) / most)
      const known = best[count - whole * most]?.sizes ?? []
      return [...Array.from({ length: whole }, () => best[most]?.sizes ?? []).flat(), ...known]
    },
  }
}

function interpolate(measured: ReadonlyMap<number, number>, count: number): number {
  const exact = measured.get(count)
  if (exact !== undefined) return exact
  const sizes = [...measured.keys()]
  const below = Math.max(...sizes.filter((size) => size < count))
  const above = Math.min(...sizes.filter((size) => size > count))
  const [low, high] = [measured.get(below) ?? 0, measured.get(above) ?? 0]
  return low + ((high - low) * (count - below)) / (above - below)
}

/** The entries in the order in which llama.cpp evaluates them in these groups: all together where there are none. */
export function inGroups<T extends Pick<BatchEntry, 'sequence' | 'tokens'>>(entries: readonly T[], groups: EvaluationGroups | undefined): T[] {
  const ascending = entries.toSorted((a, b) => a.sequence - b.sequence)
  if (groups === undefined) return ascending
  const pieces = runs(ascending).flatMap((run) => {
    // Pieces of prompts are evaluations of their own anyway: beside tokens of answers, their first token would be evaluated with these.
    if (run.some(({ tokens }) => tokens.length > 1)) return [run]
    let from = 0
    return groups.of(run.length).map((size) => run.slice(from, (from += size)))
  })
  // Each but the first begins below the one before: none can follow on it.
  return pieces.toSorted((a, b) => (b[0]?.sequence ?? 0) - (a[0]?.sequence ?? 0)).flat()
}

/** Entries of following numbers that are alike: single tokens, or pieces of prompts. */
function runs<T extends Pick<BatchEntry, 'sequence' | 'tokens'>>(ascending: readonly T[]): T[][] {
  const all: T[][] = []
  for (const entry of ascending) {
    const run = all.at(-1)
    const last = run?.at(-1)
    const follows = last !== undefined && last.sequence + 1 === entry.sequence && last.tokens.length > 1 === entry.tokens.length > 1
    if (run !== undefined && follows) run.push(entry)
    else all.push([entry])
  }
  return all
}
