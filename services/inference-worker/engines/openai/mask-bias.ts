import type { Sampling } from '../engine.ts'

/** What is added to the logits of tokens; `never`: the token can't come. */
export type Biases = [token: number, bias: number | 'never'][]

/** In natural logarithms; what is this much less likely does not come. The rest of a 32-bit float's digits is enough for logits. */
const lift = 1000

/**
 * A request's own logit bias, and a mask: 1 for each token that may not come. Where only few may, it is them that are lifted above all
 * others, as a list of the others is as long as the vocabulary. Not with a repeat penalty, which would divide what lifts them.
 */
export function biasesOf({ logitBias, repeatPenalty, temperature }: Sampling, forbidden: Uint8Array | undefined): Biases {
  if (forbidden === undefined) return [...logitBias]
  const allowed: number[] = []
  forbidden.forEach((is, token) => {
    if (is === 0) allowed.push(token)
  })
  if (repeatPenalty === 1 && allowed.length * 2 < forbidden.length) {
    // The temperature divides it.
    const lifted = lift * Math.max(1, temperature)
    return allowed.map((token) => [token, lifted + (logitBias.get(token) ?? 0)])
  }
  const biases: Biases = [...logitBias].filter(([token]) => forbidden[token] === 0)
  forbidden.forEach((is, token) => {
    if (is !== 0) biases.push([token, 'never'])
  })
  return biases
}
