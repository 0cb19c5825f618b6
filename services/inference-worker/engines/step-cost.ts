/** How long a decode step takes, by the tokens in it. Learnt from the steps. */
export interface StepCost {
  /** Milliseconds that a step of so many tokens is expected to take. */
  of(tokens: number): number
  /** The most tokens, up to `wanted`, by which a step of `tokens` becomes longer by no more than `ms`. */
  room(tokens: number, ms: number, wanted: number): number
  learn(tokens: number, ms: number): void
}

/** Weight of the newest step, of all and of those of as many tokens. */
const newest = 0.02
const newestOfCount = 0.1
/** Where steps were all alike, nothing tells the fixed part from that of the tokens: half is taken for each. */
const guess = 0.5
const leastShare = 0.01
/** Steps of few tokens are no straight line: llama.cpp has other kernels for one token than for two, which may take three times as long. */
const mostCounted = 32

/** A fixed part and one for each token, by least squares with weights that fade; for few tokens, what such steps took. */
export function createStepCost(): StepCost {
  const counted = new Map<number, number>()
  let tokensMean = 0
  let msMean = 0
  let tokensSquare = 0
  let product = 0
  let weight = 0
  let fixed = 0
  let perToken = 0

  function of(tokens: number): number {
    return counted.get(tokens) ?? fixed + perToken * tokens
  }

  return {
    of,
    room(tokens, ms, wanted) {
      if (perToken === 0) return wanted
      const base = of(tokens)
      const inLine = Math.max(0, Math.floor((base + ms - fixed) / perToken) - tokens)
      if (tokens + Math.min(wanted, inLine) > mostCounted) return Math.min(wanted, inLine)
      for (let more = Math.min(wanted, mostCounted - tokens); more > 0; more -= 1) if (of(tokens + more) - base <= ms) return more
      return 0
    },
    learn(tokens, ms) {
      if (tokens <= mostCounted) {
        const before = counted.get(tokens)
        counted.set(tokens, before === undefined ? ms : before + newestOfCount * (ms - before))
      }
      weight += newest * (1 - weight)
      const share = newest / weight
      tokensMean += share * (tokens - tokensMean)
      msMean += share * (ms - msMean)
      tokensSquare += share * (tokens * tokens - tokensSquare)
      product += share * (tokens * ms - product)
      const variance = tokensSquare - tokensMean * tokensMean
      const whole = msMean / tokensMean
      const slope = variance < 0.05 ? whole * guess : (product - tokensMean * msMean) / variance
      perToken = Math.min(whole, Math.max(whole * leastShare, slope))
      fixed = msMean - perToken * tokensMean
    },
  }
}
