/** Knows whose prompt each slot of a server holds, as far as that can be known from outside. */
export interface SlotHolders {
  /** A request of the team goes to the slot. True if what the slot holds is certainly that team's. */
  send(slot: number, team: string): SentRequest
  /** Whether it is certain what the slot holds. */
  isCertain(slot: number): boolean
  /** Nothing is known any more. */
  clear(): void
}

export interface SentRequest {
  readonly mayReuse: boolean
  /** The server has begun to work on it. */
  begun(): void
  /** A token came: the slot holds this team's prompt. */
  answered(): void
}

interface Slot {
  latest: SentRequest | undefined
  holder: string | undefined
  /** The request that was sent last, until it is known to have begun. */
  unheard: SentRequest | undefined
  /** Until then nothing about the slot is certain, by `now`. */
  uncertainUntil: number
}

/** A server notices within seconds that the client of a request is gone, and drops it if it has not begun. */
const uncertainMs = 60_000

/**
 * A request that ended before anything was heard of it may still begin behind a later one, and leave its prompt in the slot: of such a
 * slot nothing is certain for a while.
 */
export function createSlotHolders(now: () => number): SlotHolders {
  const slots = new Map<number, Slot>()

  return {
    send(index, team) {
      const slot = slots.get(index) ?? { latest: undefined, holder: undefined, unheard: undefined, uncertainUntil: Number.NEGATIVE_INFINITY }
      slots.set(index, slot)
      if (slot.unheard !== undefined) slot.uncertainUntil = now() + uncertainMs
      const isCertain = (): boolean => now() >= slot.uncertainUntil
      const sent: SentRequest = {
        mayReuse: slot.holder === team && isCertain(),
        begun() {
          if (slot.unheard === sent) slot.unheard = undefined
        },
        answered() {
          sent.begun()
          // Not when another request was sent there since.
          if (isCertain() && slot.latest === sent) slot.holder = team
        },
      }
      slot.latest = sent
      slot.holder = undefined
      slot.unheard = sent
      return sent
    },
    isCertain: (index) => slots.get(index)?.holder !== undefined,
    clear: () => slots.clear(),
  }
}
