import type { Logger } from '../../shared/log.ts'
import type { GpuChoice } from './llama-load.ts'

export interface LlamaEngineOptions {
  /** Catalogue id. */
  model: string
  /** The GGUF file. */
  path: string
  /** Requests that are decoded at once, with the spare ones at most 256. */
  slots: number
  /** Slots besides, of generating models. */
  spareSlots: number
  /** Tokens for each slot, bounded by what the model was trained for; 0: just that. */
  contextLength: number
  /** Most tokens in one decode call; raised to `slots`, and on the CPU bounded by 64. */
  batchSize: number
  /** CPU threads, at least 1. */
  threads: number
  gpu: GpuChoice
}

export function chooseContextLength(wanted: number, trained: number, log: Logger): number {
  if (wanted === 0) return trained
  if (wanted > trained) log.warn({ wanted, trained }, 'context length is bounded by what the model was trained for')
  return Math.min(wanted, trained)
}
