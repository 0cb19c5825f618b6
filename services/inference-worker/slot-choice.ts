/** What a slot still holds of the request that had it last. */
export interface HeldPrefix {
  /** Whose it is: nobody else may gain by it. */
  readonly team: string
  /** Evaluated, from the first on. */
  readonly tokens: readonly number[]
  /** Milliseconds. */
  readonly usedAt: number
}

export interface FreeSlot {
  readonly index: number
  readonly held: HeldPrefix | undefined
}

export interface SlotChoice {
  index: number
  /** So many of the prompt's tokens need not be evaluated again. */
  keep: number
}

export interface ChoiceOptions {
  team: string
  /** The prompt. */
  tokens: readonly number[]
  now: number
  /** Of fewer tokens that are the same, nothing is kept: a template's first words gain nothing, and evaluated whole a prompt rounds as it does alone. */
  leastKept: number
  /** How many of the first tokens that the slot holds can be kept when the rest goes. */
  keepable(index: number, count: number): number
}

/** What is held loses half of its worth in this time. */
const halfLifeMs = 5 * 60_000

/**
 * The slot that gains most: the tokens that need not be evaluated, less the worth of what it holds and would lose. Worth falls with
 * age, and with the number of slots that its team holds besides. Undefined when none is free. All but the last token of a prompt can be kept: its
 * logits are wanted.
 */
export function chooseSlot(free: readonly FreeSlot[], { team, tokens, now, leastKept, keepable }: ChoiceOptions): SlotChoice | undefined {
  const slotsOf = new Map<string, number>()
  for (const { held } of free) if (held !== undefined) slotsOf.set(held.team, (slotsOf.get(held.team) ?? 0) + 1)
  let best: SlotChoice | undefined
  let bestGain = Number.NEGATIVE_INFINITY
  for (const { index, held } of free) {
    const common = held?.team === team ? Math.min(commonPrefix(held.tokens, tokens), tokens.length - 1) : 0
    const keep = common < leastKept ? 0 : keepable(index, common)
    const lost = held === undefined ? 0 : (held.tokens.length - keep) * 2 ** ((held.usedAt - now) / halfLifeMs)
    const gain = keep - lost / (held === undefined ? 1 : (slotsOf.get(held.team) ?? 1))
    if (gain <= bestGain) continue
    best = { index, keep }
    bestGain = gain
  }
  return best
}

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length)
  let count = 0
  while (count < most && a[count] === b[count]) count += 1
  return count
}
