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
  /** Whether there is a slot of that number that a request has. */
  isBusy(index: number): boolean
}

/** What is held loses half of its worth in this time. */
const halfLifeMs = 5 * 60_000

/** Slots are alike to a prompt that shares nothing with them if what it would take from one is worth no more than so much of the other's. */
const alike = 2

/**
 * The slot that gains most: the tokens that need not be evaluated, less the worth of what it holds and would lose. Worth falls with
 * age, and with the number of slots that its team holds besides. Undefined when none is free. All but the last token of a prompt can be kept: its
 * logits are wanted.
 *
 * Where nothing is shared, of those that are alike it is one beside busy slots: llama.cpp evaluates together what stands in slots that
 * follow each other, and a gap makes two evaluations of each decode step (engines/evaluation-groups.ts).
 */
export function chooseSlot(free: readonly FreeSlot[], { team, tokens, now, leastKept, keepable, isBusy }: ChoiceOptions): SlotChoice | undefined {
  const slotsOf = new Map<string, number>()
  for (const { held } of free) if (held !== undefined) slotsOf.set(held.team, (slotsOf.get(held.team) ?? 0) + 1)
  const choices = free.map(({ index, held }) => {
    const common = held?.team === team ? Math.min(commonPrefix(held.tokens, tokens), tokens.length - 1) : 0
    const keep = common < leastKept ? 0 : keepable(index, common)
    const lost = held === undefined ? 0 : ((held.tokens.length - keep) * 2 ** ((held.usedAt - now) / halfLifeMs)) / (slotsOf.get(held.team) ?? 1)
    return { index, keep, lost }
  })
  const [best] = choices.toSorted((a, b) => b.keep - b.lost - (a.keep - a.lost) || a.index - b.index)
  if (best === undefined || best.keep > 0) return best && { index: best.index, keep: best.keep }
  const neighbours = ({ index }: { index: number }): number => Number(isBusy(index - 1)) + Number(isBusy(index + 1))
  const [chosen] = choices
    .filter(({ keep, lost }) => keep === 0 && lost <= alike * best.lost)
    .toSorted((a, b) => neighbours(b) - neighbours(a) || a.lost - b.lost || a.index - b.index)
  return { index: (chosen ?? best).index, keep: 0 }
}

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length)
  let count = 0
  while (count < most && a[count] === b[count]) count += 1
  return count
}
