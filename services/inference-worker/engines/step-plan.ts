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
/** Fewer tokens of a prompt beside answers are not worth it: llama.cpp evaluates them apart from these, and reads all weights for them. */
const leastChunk = 32

/**
 * Shares out a decode step: how many tokens of each entry it evaluates, 0 for those that wait for a later one. At least one gets some.
 *
 * Within a team every answer under way gets its token, and prompts, first come first served, what is left. Between teams, one that has none waiting comes
 * first, then the one that was served least, and the others may lengthen its step only by a part: where a step costs as much as its tokens,
 * as on a CPU, a team with many requests would slow down all the others; where more tokens cost next to nothing, as on a GPU, all come
 * along.
 */
export function planStep(entries: readonly StepEntry[], cost: StepCost, { batchSize, targetMs }: StepLimits, debts: Debts): number[] {
  const grants = entries.map(() => 0)
  const mostMs = entries.some(({ wanted }) => wanted === 1) ? targetMs : promptsAlone * targetMs
  const teams = [...Map.groupBy(entries.keys(), (index) => (entries[index] as StepEntry).share)]
    .map(([share, indexes]) => ({ share, indexes: [...indexes] }))
    .toSorted((a, b) => before(a.share, b.share) || a.indexes.length - b.indexes.length)
  let taken = 0
  let firstMs = 0
  for (const [position, { share, indexes }] of teams.entries()) {
    const wanted = indexes.reduce((sum, index) => sum + (entries[index]?.wanted ?? 0), 0)
    const left = Math.min(wanted, batchSize - taken)
    if (left <= 0) continue
    const unit = indexes.some((index) => entries[index]?.wanted === 1) ? 1 : Math.min(leastChunk, left)
    const room = position === 0 ? left : cost.room(taken, debts.owe(share, firstMs * partOf(share, teams[0]?.share)), left)
    const granted = position > 0 && room < unit ? 0 : shareOut(entries, indexes, grants, room, taken, cost, mostMs)
    if (position === 0) firstMs = cost.of(granted)
    else debts.pay(share, granted === 0 ? 0 : cost.of(taken + granted) - cost.of(taken), cost.of(taken + unit) - cost.of(taken))
    taken += granted
  }
  debts.keepOnly(new Set(teams.map(({ share }) => share)))
  return grants
}

/** What another team may add to the first one's step, as a part of it. */
function partOf(share: Share, first: Share | undefined): number {
  return ((share.batch ? addedByOthers.batch : addedByOthers.interactive) * share.weight) / (first?.weight ?? 1)
}

/** Who wants no more than it has comes first: its share is less than what is due to it. */
function before(a: Share, b: Share): number {
  return Number(a.batch) - Number(b.batch) || Number(a.waiting > 0) - Number(b.waiting > 0) || a.served - b.served
}

/** Milliseconds that teams may add to others' steps and haven't yet. */
export interface Debts {
  /** So many more; returns all of them. */
  owe(share: Share, ms: number): number
  /** So many were used. What is left is kept up to what the least more would take: so nobody waits for ever, and nobody saves up. */
  pay(share: Share, ms: number, least: number): void
  keepOnly(shares: ReadonlySet<Share>): void
}

export function createDebts(): Debts {
  const owed = new Map<Share, number>()
  return {
    owe(share, ms) {
      const all = (owed.get(share) ?? 0) + ms
      owed.set(share, all)
      return all
    },
    pay(share, ms, least) {
      owed.set(share, Math.min((owed.get(share) ?? 0) - ms, Math.max(0, least)))
    },
    keepOnly(shares) {
      for (const share of owed.keys()) if (!shares.has(share)) owed.delete(share)
    },
  }
}

/** Grants up to `room` tokens to one team's entries, in a step that has `taken` already; returns how many. */
function shareOut(entries: readonly StepEntry[], indexes: readonly number[], grants: number[], room: number, taken: number, cost: StepCost, mostMs: number): number {
  const wanted = (index: number): number => entries[index]?.wanted ?? 0
  // Where not all have room, those who waited longest come first.
  const decoding = indexes.filter((index) => wanted(index) === 1).toSorted((a, b) => (entries[a]?.lastStep ?? 0) - (entries[b]?.lastStep ?? 0))
  let granted = 0
  for (const index of decoding.slice(0, room)) {
    grants[index] = 1
    granted += 1
  }
  const so = taken + granted
  let left = Math.min(room - granted, Math.max(leastChunk, cost.room(so, mostMs - cost.of(so), room)))
  for (const index of indexes) {
    if (wanted(index) === 1 || left <= 0) continue
    const some = Math.min(wanted(index), left)
    grants[index] = some
    granted += some
    left -= some
  }
  return granted
}
