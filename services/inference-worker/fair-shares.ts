import type { Share } from './engines/step-plan.ts'

/** What the worker has done for one team, of one priority. */
export interface TeamShare extends Share {
  readonly team: string
  /** Requests that wait or are worked on. */
  readonly requests: number
}

/**
 * The virtual token counters of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024): who has been served least, by weight,
 * comes first. A team that comes back from idle starts at the least counter of those that are there, so that it has no credit for the time
 * it was away, and no more is held against it than what it took.
 */
export interface FairShares {
  /** A request of the team arrives. Ended by `leave`. */
  enter(team: string, weight: number, batch: boolean): TeamShare
  leave(share: TeamShare): void
  /** So many more of its requests wait for a slot; below 0: fewer. */
  waits(share: TeamShare, more: 1 | -1): void
  /** Tokens were evaluated or decoded for it. */
  charge(share: TeamShare, tokens: ServedTokens): void
}

export interface ServedTokens {
  /** Of the prompt, evaluated: not those that the slot held already. */
  input?: number
  output?: number
}

/** A decoded token costs more than an evaluated one; the paper's weights. */
const inputCost = 1
const outputCost = 2

/** Teams without a request whose counters are remembered, because they are above the others'. */
const mostIdle = 4096

interface Counter extends TeamShare {
  weight: number
  served: number
  requests: number
  waiting: number
}

export function createFairShares(): FairShares {
  const active = new Map<string, Counter>()
  const idle = new Map<string, number>()
  /** Of the team that left last. */
  let lastLeft = 0

  function least(): number {
    let served = Number.POSITIVE_INFINITY
    for (const counter of active.values()) served = Math.min(served, counter.served)
    return active.size === 0 ? lastLeft : served
  }

  return {
    enter(team, weight, batch) {
      const name = nameOf(team, batch)
      const known = active.get(name)
      if (known !== undefined) {
        known.requests += 1
        known.weight = weight
        return known
      }
      const share: Counter = { team, weight, batch, requests: 1, waiting: 0, served: Math.max(idle.get(name) ?? 0, least()) }
      idle.delete(name)
      active.set(name, share)
      return share
    },
    leave({ team, batch }) {
      const name = nameOf(team, batch)
      const counter = active.get(name)
      if (counter === undefined) return
      counter.requests -= 1
      if (counter.requests > 0) return
      active.delete(name)
      lastLeft = counter.served
      idle.set(name, counter.served)
      const [oldest] = idle.keys()
      if (idle.size > mostIdle && oldest !== undefined) idle.delete(oldest)
    },
    waits({ team, batch }, more) {
      const counter = active.get(nameOf(team, batch))
      if (counter !== undefined) counter.waiting += more
    },
    charge({ team, batch, weight }, { input = 0, output = 0 }) {
      const counter = active.get(nameOf(team, batch))
      if (counter !== undefined) counter.served += (inputCost * input + outputCost * output) / weight
    },
  }
}

function nameOf(team: string, batch: boolean): string {
  return `${batch ? 'batch' : 'interactive'}\n${team}`
}
