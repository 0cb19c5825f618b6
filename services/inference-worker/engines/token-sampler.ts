import type { DecodedToken, DecodeRequest } from './engine.ts'
import type { LlamaInternals, NativeSampler } from './llama-internals.ts'
import type { LogprobReader } from './logprob-reader.ts'
import { createSamplerConfigs } from './sampler-configs.ts'

/** Draws the tokens of one answer. */
export interface TokenSampler {
  /** The next token, from the logits at this place. Throws what the guide throws. */
  next(logits: number): Promise<DecodedToken>
}

/** With the slot's own native sampler, whatever answer it drew before. */
export function createTokenSampler(
  internals: LlamaInternals,
  sampler: NativeSampler,
  logprobReader: LogprobReader,
  { guide, topLogprobs, sampling, tokens }: DecodeRequest,
): TokenSampler {
  const configs = createSamplerConfigs(sampling, tokens)
  sampler.applyConfig(configs.reset())

  /**
   * Drawn freely, and only if that token may not come, once more with all such tokens away: what comes out is distributed as if
   * they had been away at first, and most tokens cost no mask.
   */
  async function draw(logits: number): Promise<number> {
    const config = configs.next()
    if (config !== undefined) sampler.applyConfig(config)
    const free = await internals.sample(logits, sampler)
    if (guide === undefined || guide.allows(free)) return free
    const forbidden = guide.forbidden()
    const only = onlyAllowed(forbidden)
    if (only !== undefined) return only
    sampler.applyConfig(configs.without(forbidden))
    const token = await internals.sample(logits, sampler)
    if (!guide.allows(token)) throw new Error('a forbidden token was drawn')
    return token
  }

  return {
    async next(logits) {
      const token = guide?.forced() ?? (await draw(logits))
      configs.took(token)
      return { token, logprobs: topLogprobs === undefined ? undefined : await logprobReader.read(logits, token, topLogprobs) }
    },
  }
}

function onlyAllowed(forbidden: Uint8Array): number | undefined {
  const first = forbidden.indexOf(0)
  return first >= 0 && forbidden.indexOf(0, first + 1) < 0 ? first : undefined
}
