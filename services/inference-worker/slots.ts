import { ServiceError } from '../shared/errors.ts'
import { createFairShares, type ServedTokens, type TeamShare } from './fair-shares.ts'
import { chooseSlot, type HeldPrefix, type SlotChoice } from './slot-choice.ts'

/** A slot that a request holds. */
export interface Slot {
  /** From 0. */
  readonly index: number
  /** So many tokens of the prompt it holds already, evaluated for the same team. */
  readonly keep: number
  readonly share: TeamShare
  /** Counts for whose turn it is next. */
  charge(tokens: ServedTokens): void
  /** Gives it to whoever is next, and tells what it holds evaluated; nothing when left out. Once; later calls do nothing. */
  release(tokens?: readonly number[]): void
}

export interface SlotRequest {
  /** From the verified identity. */
  team: string
  /** Of the team, above 0. */
  weight: number
  /** Work that can wait. */
  batch: boolean
  /** The prompt. */
  tokens: readonly number[]
}

/** The engine's slots, what they still hold, and the requests that wait for one. */
export interface Slots {
  readonly count: number
  readonly running: number
  readonly queued: number
  /** Requests that wait, by team. */
  queuedByTeam(): ReadonlyMap<string, number>
  /** What free slots hold. */
  held(): readonly HeldPrefix[]
  /**
   * Waits for a slot: interactive work first, then the team that was served least, then who came first. Throws RESOURCE_EXHAUSTED queue_full,
   * or queue_timeout when the wait is, or is sure to become, too long, both with a time to retry after; and the signal's reason when it aborts.
   */
  acquire(request: SlotRequest, signal: AbortSignal): Promise<Slot>
  /** A free slot to look at the engine with, which leaves what it holds as it is; undefined when none is free. End it with the result. */
  borrow(): { index: number; giveBack(): void } | undefined
  /** Told after each change; returns what ends that. */
  subscribe(listener: () => void): () => void
}

export interface SlotOptions {
  count: number
  /** Slots beyond these, taken only by a team that has none while all others are taken: so it needs not wait for who came before. */
  spare: number
  /** Most requests that wait. */
  maxQueued: number
  /** Longest wait. */
  queueTimeoutMs: number
  /** Fewer tokens that two prompts share are not kept. */
  leastKept: number
  /** As the engine says it. */
  keepable(index: number, count: number): number
  /** Milliseconds, monotonic. */
  now(): number
}

interface Waiting {
  request: SlotRequest
  share: TeamShare
  enter(slot: Slot): void
  refuse(error: ServiceError): void
}

/** Weight of the newest in the moving mean. */
const newest = 0.2
/** Before so many were released, nothing is foretold. */
const leastSamples = 8
const retryAfterMs = { least: 100, most: 60_000 } as const

export function createSlots({ count, spare, maxQueued, queueTimeoutMs, leastKept, keepable, now }: SlotOptions): Slots {
  const shares = createFairShares()
  const free = new Map<number, HeldPrefix | undefined>(Array.from({ length: count + spare }, (_, index) => [index, undefined]))
  /** In the order in which they came. */
  const queues = new Map<TeamShare, Waiting[]>()
  const runningOf = new Map<TeamShare, number>()
  const listeners = new Set<() => void>()
  let queued = 0
  let meanHoldMs = 0
  let samples = 0

  function changed(): void {
    for (const listener of listeners) listener()
  }

  const isSpare = (index: number): boolean => index >= count
  const isBusy = (index: number): boolean => index >= 0 && index < count + spare && !free.has(index)

  function choose({ team, tokens }: SlotRequest, share: TeamShare): SlotChoice | undefined {
    const maySpare = !share.batch && (runningOf.get(share) ?? 0) === 0
    const candidates = [...free].filter(([index]) => !isSpare(index)).map(([index, held]) => ({ index, held }))
    // The spare one keeps what it holds for its team's next request, too, but stays free while any other will do.
    const spares = maySpare ? [...free].filter(([index, held]) => isSpare(index) && (candidates.length === 0 || held?.team === team)) : []
    return chooseSlot([...candidates, ...spares.map(([index, held]) => ({ index, held }))], { team, tokens, now: now(), leastKept, keepable, isBusy })
  }

  function take({ index, keep }: SlotChoice, share: TeamShare, team: string): Slot {
    const since = now()
    let isHeld = true
    free.delete(index)
    runningOf.set(share, (runningOf.get(share) ?? 0) + 1)
    return {
      index,
      keep,
      share,
      charge: (tokens) => shares.charge(share, tokens),
      release(tokens = []) {
        if (!isHeld) return
        isHeld = false
        samples += 1
        meanHoldMs += Math.max(newest, 1 / samples) * (now() - since - meanHoldMs)
        free.set(index, tokens.length === 0 ? undefined : { team, tokens, usedAt: now() })
        const left = (runningOf.get(share) ?? 1) - 1
        if (left === 0) runningOf.delete(share)
        else runningOf.set(share, left)
        serveNext()
        shares.leave(share)
        changed()
      },
    }
  }

  /** Gives free slots to those whose turn it is. */
  function serveNext(): void {
    for (let next = nextInTurn(); next !== undefined; next = nextInTurn()) {
      const { waiting, choice } = next
      remove(waiting)
      waiting.enter(take(choice, waiting.share, waiting.request.team))
    }
  }

  function nextInTurn(): { waiting: Waiting; choice: SlotChoice } | undefined {
    const inTurn = [...queues].toSorted(([a], [b]) => Number(a.batch) - Number(b.batch) || a.served - b.served)
    for (const [share, [waiting]] of inTurn) {
      const choice = waiting === undefined ? undefined : choose(waiting.request, share)
      if (waiting !== undefined && choice !== undefined) return { waiting, choice }
    }
    return undefined
  }

  function remove(waiting: Waiting): void {
    const queue = queues.get(waiting.share)
    const at = queue?.indexOf(waiting) ?? -1
    if (queue === undefined || at < 0) return
    queue.splice(at, 1)
    queued -= 1
    shares.waits(waiting.share, -1)
    if (queue.length === 0) queues.delete(waiting.share)
  }

  /** Milliseconds that one who comes now would wait: every other team has its turn as often as this one, at most. */
  function foretold(share: TeamShare): number {
    if (samples < leastSamples) return 0
    const own = queues.get(share)?.length ?? 0
    let ahead = own
    for (const [other, { length }] of queues) {
      if (other === share || (other.batch && !share.batch)) continue
      ahead += share.batch && !other.batch ? length : Math.min(length, own + 1)
    }
    return (ahead * meanHoldMs) / count
  }

  function refusal(reason: 'queue_full' | 'queue_timeout', message: string, waitMs: number): ServiceError {
    return new ServiceError('RESOURCE_EXHAUSTED', reason, message, { retryAfterMs: Math.round(Math.min(Math.max(waitMs, retryAfterMs.least), retryAfterMs.most)) })
  }

  function full(): ServiceError {
    // One more place in the queue comes free when a slot does: after the mean hold divided by the slots.
    return refusal('queue_full', 'Too many requests are waiting for this model. Try again later.', (samples === 0 ? 1000 : meanHoldMs) / count)
  }

  function tooLong(waitMs: number): ServiceError {
    return refusal('queue_timeout', 'The wait for this model is too long at the moment. Try again later.', waitMs)
  }

  /** Room for one more in a queue that is full: the team that fills it most loses the last that came. False when that is this team. */
  function makeRoom(share: TeamShare): boolean {
    let longest: Waiting[] = []
    for (const queue of queues.values()) if (queue.length > longest.length) longest = queue
    const last = longest.at(-1)
    if (last === undefined || longest.length <= (queues.get(share)?.length ?? 0) + 1) return false
    last.refuse(full())
    return true
  }

  function wait(request: SlotRequest, share: TeamShare, signal: AbortSignal): Promise<Slot> {
    const waitMs = foretold(share)
    const refused = waitMs > queueTimeoutMs ? tooLong(waitMs - queueTimeoutMs) : queued >= maxQueued && !makeRoom(share) ? full() : undefined
    if (refused !== undefined) {
      shares.leave(share)
      return Promise.reject(refused)
    }
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', leave)
      }
      const giveUp = (reason: unknown): void => {
        end()
        remove(waiting)
        shares.leave(share)
        reject(reason)
        changed()
      }
      const leave = (): void => giveUp(signal.reason)
      const timer = setTimeout(() => giveUp(tooLong(foretold(share))), queueTimeoutMs)
      const waiting: Waiting = {
        request,
        share,
        enter(slot) {
          end()
          resolve(slot)
        },
        refuse: giveUp,
      }
      signal.addEventListener('abort', leave, { once: true })
      const queue = queues.get(share)
      if (queue === undefined) queues.set(share, [waiting])
      else queue.push(waiting)
      queued += 1
      shares.waits(share, 1)
      changed()
    })
  }

  return {
    count,
    get running() {
      return count + spare - free.size
    },
    get queued() {
      return queued
    },
    queuedByTeam() {
      const teams = new Map<string, number>()
      for (const [{ team }, queue] of queues) teams.set(team, (teams.get(team) ?? 0) + queue.length)
      return teams
    },
    held: () => [...free.values()].filter((held) => held !== undefined),
    async acquire(request, signal) {
      signal.throwIfAborted()
      const share = shares.enter(request.team, request.weight, request.batch)
      const choice = queues.has(share) ? undefined : choose(request, share)
      if (choice === undefined) return await wait(request, share, signal)
      const slot = take(choice, share, request.team)
      changed()
      return slot
    },
    borrow() {
      const index = [...free.keys()].find((candidate) => free.get(candidate) === undefined) ?? [...free.keys()][0]
      if (index === undefined) return undefined
      const held = free.get(index)
      free.delete(index)
      return {
        index,
        giveBack() {
          free.set(index, held)
          serveNext()
          changed()
        },
      }
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
