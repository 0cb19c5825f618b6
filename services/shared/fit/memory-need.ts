import { computeBytes, inputBytes, resultBytes } from './compute-buffers.ts'
import { type CacheOptions, cacheOfLayers } from './kv-cache.ts'
import type { ModelShape } from './model-shape.ts'
import type { Weights } from './weights.ts'

export interface Model {
  readonly shape: ModelShape
  readonly weights: Weights
}

export interface RunOptions extends CacheOptions {
  /** So many of the last layers, the output counted as one, are on the GPU: from 0 to the number of layers and one. */
  readonly gpuLayers: number
}

/** Bytes. */
export interface Need {
  readonly weights: number
  /** KV cache, or a recurrent state. */
  readonly cache: number
  /** Buffers for what is calculated in one decode call, and its results. */
  readonly compute: number
  /** RAM: Node.js, the engine's code, the vocabulary. GPU: what its driver takes for a program. */
  readonly overhead: number
  readonly total: number
}

export interface Needs {
  readonly ram: Need
  /** All zero without GPU layers. */
  readonly gpu: Need
}

/** Measured on Linux, the pages that it shares with other processes too: a worker at work of which the model is taken away. */
const processBytes = 230 * 2 ** 20
/** Measured: each text of the vocabulary and of its merges, in the engine and in JavaScript. */
const vocabularyTextBytes = 500
/** Assumed, and not measured: CUDA's own for a program, with its libraries. */
const driverBytes = 450 * 2 ** 20
/** A larger batch is calculated on the GPU even for layers in RAM, whose tensors are copied there one by one. */
const offloadedBatch = 32

/** What a model takes in RAM and on the GPU when it is loaded and worked with. */
export function memoryNeeds({ shape, weights }: Model, options: RunOptions): Needs {
  const layerCount = shape.layers.length
  const gpuLayers = Math.min(Math.max(options.gpuLayers, 0), layerCount + 1)
  // The output is the last of them.
  const firstOnGpu = layerCount + 1 - gpuLayers
  const onGpu = (layer: number): boolean => layer >= firstOnGpu
  const outputOnGpu = onGpu(layerCount)
  const caches = cacheOfLayers(shape, options)
  const split = (bytes: readonly number[]): { ram: number; gpu: number } => ({
    ram: sum(bytes.filter((_, layer) => !onGpu(layer))),
    gpu: sum(bytes.filter((_, layer) => onGpu(layer))),
  })
  const layers = split(weights.layers)
  const cache = split(caches)
  const compute = (part: { layers: boolean; output: boolean }): number => (part.layers || part.output ? computeBytes(shape, options, part) : 0)
  const someInRam = firstOnGpu > 0
  const offloaded = outputOnGpu && options.batchSize >= offloadedBatch
  const ramCompute = someInRam && !offloaded ? compute({ layers: true, output: !outputOnGpu }) : 0
  return {
    ram: need({
      weights: weights.input + layers.ram + (outputOnGpu ? 0 : weights.output + (weights.tiedIsReordered ? weights.tiedOutput : 0)),
      cache: cache.ram,
      compute: Math.max(ramCompute, outputOnGpu ? inputBytes(shape, options) : 0) + resultBytes(shape, options),
      overhead: processBytes + shape.vocabularyTexts * vocabularyTextBytes,
    }),
    gpu: outputOnGpu
      ? need({
          weights: layers.gpu + weights.output + weights.tiedOutput,
          cache: cache.gpu,
          compute: compute({ layers: gpuLayers > 1 || offloaded, output: true }) + (someInRam && offloaded ? weights.largest : 0),
          overhead: driverBytes,
        })
      : need({ weights: 0, cache: 0, compute: 0, overhead: 0 }),
  }
}

function need(parts: Omit<Need, 'total'>): Need {
  return { ...parts, total: parts.weights + parts.cache + parts.compute + parts.overhead }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
