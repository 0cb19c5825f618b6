import type { Sampling } from './engine.ts'
import type { SamplerConfig } from './llama-internals.ts'

/** What the native sampler is told before each token of one answer. */
export interface SamplerConfigs {
  /** Before the first one: a sampler begins its random numbers anew only when it is told another seed. */
  reset(): SamplerConfig
  /** For the next token; undefined when it is the one before. */
  next(): SamplerConfig | undefined
  /** The same, for another try without these tokens: 1 for each, at its place. */
  without(forbidden: Uint8Array): SamplerConfig
  took(token: number): void
}

/**
 * llama.cpp has one history for all three penalties. OpenAI's are about the answer only, so they are given as logit bias;
 * repeat_penalty is llama.cpp's own and comes after them.
 */
export function createSamplerConfigs(sampling: Sampling, prompt: readonly number[]): SamplerConfigs {
  const { repeatPenalty, penaltyWindow, presencePenalty, frequencyPenalty, logitBias } = sampling
  const fixed = fixedConfig(sampling)
  const repeats = repeatPenalty !== 1 && penaltyWindow > 0
  const recent = repeats ? prompt.slice(-penaltyWindow) : []
  const counts = presencePenalty !== 0 || frequencyPenalty !== 0 ? new Map<number, number>() : undefined
  // Each changes with every token, or when the sampler was told something else in between.
  let changed = true

  function repeatPart(): Partial<SamplerConfig> {
    if (!repeats) return {}
    // In full each time: the sampler remembers what it drew, though another token may have come.
    return { repeatPenalty, repeatPenaltyMaxTokens: penaltyWindow, repeatPenaltyTokens: Uint32Array.from(recent) }
  }

  function biases(): Map<number, number> {
    const all = new Map(logitBias)
    for (const [token, count] of counts ?? []) all.set(token, (all.get(token) ?? 0) - presencePenalty - frequencyPenalty * count)
    return all
  }

  return {
    reset: () => ({ temperature: 0, seed: (fixed.seed ^ 1) >>> 0 }),
    next() {
      if (!changed) return undefined
      changed = repeats || counts !== undefined
      return { ...fixed, ...repeatPart(), ...biasPart(biases()) }
    },
    without(forbidden) {
      changed = true
      return { ...fixed, ...repeatPart(), ...biasPart(biases(), forbidden) }
    },
    took(token) {
      if (repeats && recent.push(token) > penaltyWindow) recent.shift()
      counts?.set(token, (counts.get(token) ?? 0) + 1)
    },
  }
}

/** Steps that would change nothing are left out: top-k of the whole vocabulary, for one, sorts it for each token. */
function fixedConfig({ temperature, topP, topK, minP, seed }: Sampling): SamplerConfig {
  return {
    // Logits divided by less than this overflow; the likeliest token is all that is left by then.
    temperature: temperature < 1e-6 ? 0 : temperature,
    // To llama.cpp this one value means "choose a seed".
    seed: seed === 0xffff_ffff ? 0xffff_fffe : seed,
    ...(topK > 0 ? { topK } : {}),
    ...(topP < 1 ? { topP } : {}),
    ...(minP > 0 ? { minP } : {}),
  }
}

function biasPart(biases: ReadonlyMap<number, number>, forbidden?: Uint8Array): Partial<SamplerConfig> {
  if (forbidden === undefined && biases.size === 0) return {}
  const most = biases.size + (forbidden?.length ?? 0)
  const keys = new Uint32Array(most)
  const values = new Float32Array(most)
  let count = 0
  for (const [token, value] of biases) {
    keys[count] = token
    values[count] = value
    count += 1
  }
  const biased = count
  for (let token = 0; token < (forbidden?.length ?? 0); token += 1) {
    if (forbidden?.[token] === 1) keys[count++] = token
  }
  values.fill(Number.NEGATIVE_INFINITY, biased, count)
  return { tokenBiasKeys: keys.subarray(0, count), tokenBiasValues: values.subarray(0, count) }
}
