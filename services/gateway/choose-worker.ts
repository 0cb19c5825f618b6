import { hash } from 'node:crypto'
import { prefixHashes } from '../shared/prefix-hashes.ts'

/** What is known of a worker that a request may go to. */
export interface Candidate {
  readonly address: string
  readonly slots: number
  /** Requests that it works on, or that wait there. */
  readonly requests: number
  /** Hashes of the blocks that its free slots hold. */
  readonly prefixes: ReadonlySet<bigint>
}

export interface Wanted {
  team: string
  /** The prompt; empty where nothing is kept of it. */
  tokens: readonly number[]
  /** The client's hint at which requests share a prefix; empty for none. */
  cacheKey: string
}

/** How many requests more than its share a worker may have, for a slot, to be chosen for what it holds. */
const slack = 0.25

/**
 * The worker that holds the longest beginning of the prompt, unless it is too busy (consistent hashing with bounded loads, Mirrokni et al.
 * 2018): it may have a quarter more than the mean, and a free slot is always near enough. Else the least busy; of equally busy ones, that at
 * which requests with the same hint meet.
 */
export function chooseWorker<T extends Candidate>(candidates: readonly T[], { team, tokens, cacheKey }: Wanted): T | undefined {
  if (candidates.length < 2) return candidates[0]
  const load = ({ requests, slots }: Candidate): number => requests / slots
  const mean = candidates.reduce((sum, { requests }) => sum + requests, 0) / candidates.reduce((sum, { slots }) => sum + slots, 0)
  const near = candidates.filter((candidate) => load(candidate) <= (1 + slack) * mean || candidate.requests < candidate.slots)
  const warm = near.some(({ prefixes }) => prefixes.size > 0) ? warmest(near, prefixHashes(team, tokens)) : []
  const from = warm.length > 0 ? warm : candidates
  const least = Math.min(...from.map(load))
  return meeting(from.filter((candidate) => load(candidate) === least), cacheKey === '' ? '' : `${team}\n${cacheKey}`)
}

/** Those that hold the most blocks from the first on; none when nobody holds any. */
function warmest<T extends Candidate>(candidates: readonly T[], hashes: readonly bigint[]): T[] {
  const heldBlocks = ({ prefixes }: Candidate): number => {
    const missing = hashes.findIndex((one) => !prefixes.has(one))
    return missing < 0 ? hashes.length : missing
  }
  const held = candidates.map(heldBlocks)
  const most = Math.max(0, ...held)
  return most === 0 ? [] : candidates.filter((_, index) => held[index] === most)
}

/** Rendezvous hashing: the same hint finds the same worker as long as that is among them. */
function meeting<T extends Candidate>(candidates: readonly T[], hint: string): T | undefined {
  if (hint === '' || candidates.length < 2) return candidates[0]
  return candidates
    .map((candidate) => ({ candidate, rank: hash('sha1', `${hint}\n${candidate.address}`) }))
    .toSorted((a, b) => (a.rank < b.rank ? 1 : -1))[0]?.candidate
}
