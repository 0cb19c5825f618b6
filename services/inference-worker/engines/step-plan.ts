import type { StepCost } from './step-cost.ts'

/** Who waits for the next decode step. */
export interface StepEntry {
  /** Tokens that it has left to evaluate: 1 while it decodes. */
  readonly wanted: number
  readonly share: Share
  /** Number of the step that it last had a part in; 0 before its first. */
  readonly lastStep: number
}

/** Whose share of the steps an entry counts to. One object for all requests of a team that have the same priority. */
export interface Share {
  /** Above 0; 2 is twice the share of 1. */
  readonly weight: number
  /** Work that can wait: others' interactive work comes first. */
  readonly batch: boolean
  /** Tokens served so far, divided by the weight. */
  readonly served: number
  /** Requests of it that wait for a slot. */
  readonly waiting: number
}

export interface StepLimits {
  /** Most tokens in a step; at least as many as there may be entries. */
  batchSize: number
  /** Where answers are under way, prompts lengthen a step to no more than this: the time between their tokens (ITL). */
  targetMs: number
}

/** What each other team may add to a step, as a part of what it would take without them. */
const addedByOthers = { interactive: 0.5, batch: 0.2 } as const
/** Where no answer waits for its next token, prompts may take longer: but whoever comes, or goes, waits for the end of their step. */
const promptsAlone = 3
/** Fewer tokens of a prompt in a step are not worth it. */
const leastChunk = 8

/**
 * Shares out a decode step: how many tokens of each entry it evaluates, 0 for those that wait for a later one. At least one gets some.
 *
 * Within a team every answer under way gets its token, and prompts, first come first served, what is left. Between teams, one that has none waiting comes
 * first, then the one that was served least, and the others may lengthen its step only by a part: where a step costs as much as its tokens,
 * as on a CPU, a team with many requests would slow down all the others; where more tokens cost next to nothing, as on a GPU, all come
 * along.
 */
export function planStep(entries: readonly StepEntry[], cost: StepCost, limits: StepLimits, debts: Debts): number[] {
  const grants = entries.map(() => 0)
  const mostMs = entries.some(({ wanted }) => wanted === 1) ? limits.targetMs : promptsAlone * limits.targetMs
  const teams = [...Map.groupBy(entries.keys(), (index) => (entries[index] as StepEntry).share)]
    .map(([share, indexes]) => ({ share, indexes: [...indexes] }))
    .toSorted((a, b) => before(a.share, b.share) || a.indexes.length - b.indexes.length)
  let left = limits.batchSize
  let first = 0
  for (const [position, { share, indexes }] of teams.entries()) {
    const budget = position === 0 ? left : Math.min(left, debts.budget(share, cost, first, teams[0]?.share.weight ?? 1))
    const granted = shareOut(entries, indexes, grants, budget, cost, mostMs)
    if (position === 0) first = granted
    else debts.spent(share, granted)
    left -= granted
  }
  debts.keepOnly(new Set(teams.map(({ share }) => share)))
  return grants
}

/** Who wants no more than it has comes first: its share is less than what is due to it. */
function before(a: Share, b: Share): number {
  return Number(a.batch) - Number(b.batch) || Number(a.waiting > 0) - Number(b.waiting > 0) || a.served - b.served
}

/** Of the tokens that others may add to the steps of whoever comes first, the fractions that are not used yet. */
export interface Debts {
  budget(share: Share, cost: StepCost, firstTokens: number, firstWeight: number): number
  spent(share: Share, tokens: number): void
  keepOnly(shares: ReadonlySet<Share>): void
}

export function createDebts(): Debts {
  const owed = new Map<Share, number>()
  return {
    budget(share, cost, firstTokens, firstWeight) {
      const part = (share.batch ? addedByOthers.batch : addedByOthers.interactive) * (share.weight / firstWeight)
      const budget = cost.tokensIn(cost.of(firstTokens) * part)
      // What isn't used, as the team wanted no more, is not kept; but a fraction of a token is, or a team could wait for ever.
      const total = Math.min(owed.get(share) ?? 0, 1) + budget
      owed.set(share, total)
      return Math.floor(total)
    },
    spent(share, tokens) {
      owed.set(share, (owed.get(share) ?? 0) - tokens)
    },
    keepOnly(shares) {
      for (const share of owed.keys()) if (!shares.has(share)) owed.delete(share)
    },
  }
}

/** Grants tokens to one team's entries; returns how many. */
function shareOut(entries: readonly StepEntry[], indexes: readonly number[], grants: number[], budget: number, cost: StepCost, mostMs: number): number {
  const wanted = (index: number): number => entries[index]?.wanted ?? 0
  let left = budget
  // Where not all have room, those who waited longest come first.
  const decoding = indexes.filter((index) => wanted(index) === 1).toSorted((a, b) => (entries[a]?.lastStep ?? 0) - (entries[b]?.lastStep ?? 0))
  for (const index of decoding.slice(0, left)) {
    grants[index] = 1
    left -= 1
  }
  left = Math.min(left, Math.max(leastChunk, Math.floor(cost.tokensIn(mostMs - cost.of(decoding.length)))))
  for (const index of indexes) {
    if (wanted(index) === 1 || left <= 0) continue
    const granted = Math.min(wanted(index), left)
    grants[index] = granted
    left -= granted
  }
  return indexes.reduce((sum, index) => sum + (grants[index] ?? 0), 0)
}
