/** How long a decode step takes, by the tokens in it: a fixed part, and one for each token. Learnt from the steps. */
export interface StepCost {
  /** Milliseconds that a step of so many tokens is expected to take. */
  of(tokens: number): number
  /** How many tokens more take so many milliseconds; may be a fraction. */
  tokensIn(ms: number): number
  learn(tokens: number, ms: number): void
}

/** Weight of the newest step: some fifty steps are remembered. */
const newest = 0.02
/** Where steps were all alike, nothing tells the two parts apart: half is taken for each. */
const guess = 0.5
const leastShare = 0.01

/** Least squares with weights that fade. */
export function createStepCost(): StepCost {
  let tokensMean = 0
  let msMean = 0
  let tokensSquare = 0
  let product = 0
  let weight = 0
  let fixed = 0
  let perToken = 0

  return {
    of: (tokens) => fixed + perToken * tokens,
    tokensIn: (ms) => (perToken === 0 ? Number.POSITIVE_INFINITY : ms / perToken),
    learn(tokens, ms) {
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
