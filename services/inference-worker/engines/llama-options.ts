import type { Logger } from '../../shared/log.ts'
import type { KvCacheType } from '../../shared/fit/kv-cache.ts'

/** Where the engine computes. */
export type GpuChoice = 'auto' | 'off' | 'metal' | 'cuda' | 'vulkan'

/** LLAMA_MAX_SEQ of llama.cpp: with the spare ones. */
export const mostSlots = 256

export interface LlamaEngineOptions {
  /** Catalogue id. */
  model: string
  /** The GGUF file, or the first of its parts. */
  path: string
  /** Requests that are decoded at once, with the spare ones at most 256; 0: as many as fit the memory, within reason. */
  slots: number
  /** Slots besides, of generating models, as far as the memory has room for them. */
  spareSlots: number
  /** Tokens for each slot, bounded by what the model was trained for; 0: as many of them as fit the memory. */
  contextLength: number
  /** Most tokens in one decode call; raised to `slots`, and on the CPU bounded by 64. */
  batchSize: number
  /** CPU threads, at least 1. */
  threads: number
  gpu: GpuChoice
  /** Layers on the GPU, the output counted as one; not given: as many as fit. */
  gpuLayers?: number | undefined
  /** Not given: f16. */
  kvCacheType?: KvCacheType
  /** Not given: where it is supported. */
  flashAttention?: 'auto' | 'on' | 'off'
  /** Bytes that the model may take; not given: what is free. */
  memory?: { ram?: number | undefined; gpu?: number | undefined }
}

/** Longest text that is embedded: memory grows with the square, as an encoder looks at all of its tokens in one step. */
export const longestEmbedded = 8192

export function chooseContextLength(wanted: number, trained: number, log: Logger): number {
  if (wanted === 0) return trained
  if (wanted > trained) log.warn({ wanted, trained }, 'context length is bounded by what the model was trained for')
  return Math.min(wanted, trained)
}
