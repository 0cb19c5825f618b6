import type { TokenLogprobs } from './engine.ts'
import type { LlamaInternals } from './llama-internals.ts'
import { oneAtATime } from './one-at-a-time.ts'

/** Reads log-probabilities out of logits, without moving those of the whole vocabulary. */
export interface LogprobReader {
  /** Of a token, and of the `top` likeliest, at most `mostTop`. */
  read(logits: number, token: number, top: number): Promise<TokenLogprobs>
  dispose(): void
}

export const mostTop = 20

/** What OpenAI's API tells of a token that is too unlikely to say how much. */
const least = -9999

/** Enough to lift almost any token among the likeliest, and few enough that 32 bits hold the others' probabilities. */
const lift = 40

/**
 * The likeliest tokens' probabilities among each other, and that of the likeliest among all, give those of all of them. A
 * token that is not among them is lifted there by a logit bias, which is taken off its result.
 */
export function createLogprobReader(internals: LlamaInternals): LogprobReader {
  const likeliest = internals.createSampler()
  const listed = internals.createSampler()
  const lifted = internals.createSampler()
  const list = { temperature: 1, seed: 0, topK: mostTop + 2 }
  likeliest.applyConfig({ temperature: 0, seed: 0 })
  listed.applyConfig(list)

  async function relative(logits: number, token: number, first: number): Promise<number> {
    lifted.applyConfig({ ...list, tokenBiasKeys: Uint32Array.of(token), tokenBiasValues: Float32Array.of(lift) })
    const candidates = await internals.candidates(logits, lifted)
    const own = candidates.find((candidate) => candidate.token === token)?.probability ?? 0
    const other = candidates.find((candidate) => candidate.token === first)?.probability ?? 0
    return other === 0 ? Number.NEGATIVE_INFINITY : Math.log(own / other) - lift
  }

  return {
    read: oneAtATime(async (logits, token, top) => {
      const highest = Math.log(await internals.probability(logits, likeliest))
      const candidates = await internals.candidates(logits, listed)
      const first = candidates[0] ?? { token, probability: 1 }
      const entries = candidates.map(({ token, probability }) => ({
        token,
        logprob: Math.max(least, highest + Math.log(probability / first.probability)),
      }))
      const found = entries.find((entry) => entry.token === token)
      const logprob = found?.logprob ?? Math.max(least, highest + (await relative(logits, token, first.token)))
      return { logprob, top: entries.slice(0, top) }
    }),
    dispose() {
      for (const sampler of [likeliest, listed, lifted]) sampler.dispose()
    },
  }
}
