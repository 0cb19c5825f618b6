import type { LayerShape, ModelShape } from './model-shape.ts'

export const kvCacheTypes = ['f16', 'q8_0', 'q4_0'] as const
export type KvCacheType = (typeof kvCacheTypes)[number]

/** Elements and bytes of ggml's blocks. */
const blocks: Readonly<Record<KvCacheType, readonly [elements: number, bytes: number]>> = { f16: [1, 2], q8_0: [32, 34], q4_0: [32, 18] }

export interface CacheOptions {
  /** Tokens for each slot. */
  readonly contextLength: number
  readonly slots: number
  /** Most tokens in one decode call. */
  readonly batchSize: number
  readonly type: KvCacheType
  readonly flashAttention: boolean
  /** Layers with a window hold the whole context all the same, so that any prefix of it can be taken up again. */
  readonly fullWindows: boolean
}

/** Bytes of each layer's cache, all slots together (llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp). */
export function cacheOfLayers(shape: ModelShape, options: CacheOptions): number[] {
  if (shape.cacheless) return shape.layers.map(() => 0)
  const cells = cellsOf(shape, options)
  // Without flash attention values lie the other way round, and all layers have room for the widest.
  const widest = Math.max(0, ...shape.layers.map(({ valueWidth }) => valueWidth))
  return shape.layers.map((layer) => {
    const { keyWidth, valueWidth, windowed } = layer
    const values = options.flashAttention || valueWidth === 0 ? valueWidth : widest
    const tokens = (windowed ? cells.windowed : cells.whole) * options.slots
    return tokens * (rowBytes(keyWidth, options.type) + rowBytes(values, options.type)) + layer.recurrentBytes * options.slots
  })
}

/** Tokens that layers hold for each slot: node-llama-cpp gives each slot its own cells, in steps of 256. */
export function cellsOf({ window, layers }: ModelShape, { contextLength, slots, batchSize, fullWindows }: CacheOptions): { whole: number; windowed: number } {
  const whole = paddedTo256(contextLength)
  if (fullWindows || window === 0 || !layers.some(({ windowed }) => windowed)) return { whole, windowed: whole }
  // node-llama-cpp asks for one token more than the batch.
  const batch = Math.min(whole * slots, Math.max(batchSize, slots) + 1)
  return { whole, windowed: paddedTo256(Math.min(whole, window + batch)) }
}

/** A quantised cache needs rows of whole blocks. */
export function canHold({ layers }: ModelShape, type: KvCacheType): boolean {
  const [elements] = blocks[type]
  return layers.every(({ keyWidth, valueWidth }: LayerShape) => keyWidth % elements === 0 && valueWidth % elements === 0)
}

function rowBytes(width: number, type: KvCacheType): number {
  const [elements, bytes] = blocks[type]
  return (width / elements) * bytes
}

function paddedTo256(tokens: number): number {
  return Math.ceil(Math.max(tokens, 1) / 256) * 256
}
