import { type CacheOptions, cellsOf } from './kv-cache.ts'
import type { ModelShape } from './model-shape.ts'

const float = 4
const half = 2

/**
 * Bytes that llama.cpp reserves for what is calculated in one decode call: the most that lives at one moment. It was found by
 * comparing with what llama.cpp says of itself for several architectures; the graph's allocator is not rebuilt here.
 */
export function computeBytes(shape: ModelShape, options: CacheOptions, part: { layers: boolean; output: boolean }): number {
  const tokens = tokensOf(shape, options)
  const moments = [
    part.output ? outputBytes(shape, tokens) : 0,
    ...(part.layers ? [forwardBytes(shape, tokens) + maskBytes(shape, options, tokens, half), options.flashAttention ? 0 : attentionBytes(shape, options, tokens)] : []),
  ]
  return Math.max(...moments)
}

/** Results that stay after a decode call: all logits of one token for each slot, or the vectors. In RAM. */
export function resultBytes({ vocabularySize, width, embeds }: ModelShape, { slots }: Pick<CacheOptions, 'slots'>): number {
  return (vocabularySize + (embeds ? width : 0)) * slots * float
}

/** What RAM holds of a decode call that a GPU calculates: the embeddings of its tokens, and which token sees which. */
export function inputBytes(shape: ModelShape, options: CacheOptions): number {
  const tokens = tokensOf(shape, options)
  return shape.width * tokens * float + maskBytes(shape, options, tokens, half)
}

function tokensOf(shape: ModelShape, { contextLength, slots, batchSize }: CacheOptions): number {
  // An encoder looks at a whole text in one step.
  return shape.embeds ? contextLength + 1 : Math.min(Math.max(batchSize, slots), contextLength * slots)
}

function outputBytes({ vocabularySize, width, latentWidth, embeds }: ModelShape, tokens: number): number {
  return (embeds ? 2 * width : vocabularySize + 2 * width + latentWidth) * tokens * float
}

function forwardBytes({ forwardWidth, width }: ModelShape, tokens: number): number {
  return (forwardWidth + 4 * width) * tokens * float
}

/** Which token sees which, for layers that look at all of them and for those with a window. */
function maskBytes(shape: ModelShape, options: CacheOptions, tokens: number, size: number): number {
  if (shape.cacheless) return tokens * tokens * size
  const { whole, windowed } = cellsOf(shape, options)
  return (whole + (shape.window > 0 ? windowed : 0)) * tokens * size
}

/** Without flash attention the scores of all heads stand in memory. */
function attentionBytes(shape: ModelShape, options: CacheOptions, tokens: number): number {
  const { heads, width, attentionWidth } = shape
  const seen = shape.cacheless ? tokens : cellsOf(shape, options).whole
  return seen * tokens * heads * float + maskBytes(shape, options, tokens, float) + 5.5 * Math.max(width, attentionWidth) * tokens * float
}
