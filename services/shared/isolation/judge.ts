import type { Observation, Result } from './observation.ts'

/** What is promised of an attempt: that it fails, or that it works. */
export type Must = 'fail' | 'work'

/**
 * Whether something listens at the address, which a refusal is judged by.
 * - `proven`: it was seen to in the same check, or the cluster sees it all the time (a pod that is ready).
 * - `likely`: it is what such an address is for.
 * - `unknown`: perhaps nothing does.
 */
export type Listening = 'proven' | 'likely' | 'unknown'

/**
 * - `held`: as promised.
 * - `violated`: a packet got out, or to somebody whom it must not reach.
 * - `broken`: what must work does not.
 * - `untried`: nothing can be said.
 */
export const verdicts = ['held', 'violated', 'broken', 'untried'] as const
export type Verdict = (typeof verdicts)[number]

export interface Circumstances {
  must: Must
  listening: Listening
  /** The walls around this prober are known to refuse rather than to be silent: another attempt was refused by somebody who surely listens. */
  wallsRefuse: boolean
}

/**
 * A refusal comes from the host, and then the packet got there; or from a policy that rejects in this way. Which, is known where something surely listens:
 * it would not have refused.
 */
export function judge({ result }: Pick<Observation, 'result'>, { must, listening, wallsRefuse }: Circumstances): Verdict {
  if (result === 'untried') return must === 'work' ? 'broken' : 'untried'
  if (must === 'work') return result === 'reached' ? 'held' : 'broken'
  switch (result) {
    case 'reached':
      return 'violated'
    case 'refused':
      if (listening !== 'unknown') return 'held'
      return wallsRefuse ? 'untried' : 'violated'
    case 'rejected':
    case 'silent':
      return 'held'
    case 'no-route':
      return 'untried'
  }
}

/** Whether this shows that a policy is enforced, rather than that nobody was there: what listens could not be reached. */
export function showsEnforcement(verdict: Verdict, { must, listening }: Pick<Circumstances, 'must' | 'listening'>): boolean {
  return must === 'fail' && listening === 'proven' && verdict === 'held'
}

/** Whether a policy that rejects, and not a host, has spoken. */
export function isWallsRefusal(result: Result, { must, listening }: Pick<Circumstances, 'must' | 'listening'>): boolean {
  return must === 'fail' && listening === 'proven' && result === 'refused'
}
