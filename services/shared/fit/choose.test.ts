import fc from 'fast-check'
import { expect, test } from 'vitest'
import { alternatives, choosePlan, fits, planFor, type Wanted } from './choose.ts'
import { parseSize, sizeText, spendable } from './budget.ts'
import { refusal } from './fit-text.ts'
import { kvCacheTypes } from './kv-cache.ts'
import { memoryNeeds, type Model, type RunOptions } from './memory-need.ts'
import type { LayerShape, ModelShape } from './model-shape.ts'
import type { Weights } from './weights.ts'

const gib = 2 ** 30

const layer = fc.record<LayerShape>({
  keyWidth: fc.constantFrom(0, 256, 1024, 4096),
  valueWidth: fc.constantFrom(0, 256, 1024, 4096),
  windowed: fc.boolean(),
  recurrentBytes: fc.constantFrom(0, 0, 100_000),
})

const model: fc.Arbitrary<Model> = fc
  .record({ layers: fc.array(layer, { minLength: 1, maxLength: 80 }), trainedContext: fc.integer({ min: 1, max: 200_000 }), window: fc.constantFrom(0, 512, 4096), layerBytes: fc.integer({ min: 1000, max: gib }), vocabularySize: fc.integer({ min: 1, max: 300_000 }) })
  .map(({ layers, trainedContext, window, layerBytes, vocabularySize }) => {
    const shape: ModelShape = {
      architecture: 'any', trainedContext, vocabularySize, vocabularyTexts: vocabularySize, width: 4096, heads: 32, attentionWidth: 4096, forwardWidth: 43_000,
      latentWidth: 0, layers, window, cacheless: false, embeds: false, unusual: false,
    }
    const weights: Weights = { input: layerBytes, layers: layers.map(() => layerBytes), output: layerBytes, tiedOutput: 0, tiedIsReordered: false, total: layerBytes * (layers.length + 2), largest: layerBytes, parameters: 1 }
    return { shape, weights }
  })

const wanted: fc.Arbitrary<Wanted> = fc.record({
  contextLength: fc.constantFrom(0, 0, 1000, 4096, 131_072),
  slots: fc.constantFrom(0, 0, 1, 4, 32),
  gpuLayers: fc.constantFrom(undefined, undefined, 0, 10, 1000),
  kvCacheType: fc.constantFrom(...kvCacheTypes),
  flashAttention: fc.constant(true),
  fullWindows: fc.boolean(),
  spareSlots: fc.constantFrom(0, 1),
  batchSize: fc.constant({ gpu: 512, cpu: 64 }),
})

const budget = fc.record({ ram: fc.integer({ min: 0, max: 128 * gib }), gpu: fc.constantFrom(0, 0, 4 * gib, 24 * gib, 80 * gib) })

test('what is chosen fits, and is what was asked for', () => {
  fc.assert(
    fc.property(model, wanted, budget, (any, asked, free) => {
      const plan = choosePlan(any, asked, free)
      if (plan === undefined) {
        expect(refusal(any, asked, free)).toMatch(/needs .* can be had\. (What would fit: |Nothing of this model fits)/)
        for (const other of alternatives(any, asked, free)) expect(fits(other.needs, free)).toBe(true)
        return
      }
      const { contextLength, slots, gpuLayers, type } = plan.options
      expect(fits(plan.needs, free)).toBe(true)
      expect(contextLength).toBeLessThanOrEqual(any.shape.trainedContext)
      if (asked.contextLength > 0) expect(contextLength).toBe(Math.min(asked.contextLength, any.shape.trainedContext))
      if (asked.slots > 0) expect(slots).toBe(asked.slots)
      if (asked.gpuLayers !== undefined) expect(gpuLayers).toBe(asked.gpuLayers)
      else if (free.gpu === 0) expect(gpuLayers).toBe(0)
      expect(type).toBe(asked.kvCacheType)
      // Exactly what was asked for is only refused when it does not fit.
    }),
    { numRuns: 500 },
  )
})

test('what was asked for and fits is never refused', () => {
  fc.assert(
    fc.property(model, wanted, budget, (any, asked, free) => {
      fc.pre(asked.contextLength > 0 && asked.slots > 0 && asked.gpuLayers !== undefined)
      const contextLength = Math.min(asked.contextLength, any.shape.trainedContext)
      const exact = planFor(any, asked, { contextLength, slots: asked.slots, gpuLayers: asked.gpuLayers ?? 0 })
      expect(choosePlan(any, asked, free) !== undefined).toBe(fits(exact.needs, free))
    }),
    { numRuns: 500 },
  )
})

test('more of anything never needs less', () => {
  const options = fc.record<RunOptions>({
    contextLength: fc.integer({ min: 1, max: 100_000 }),
    slots: fc.integer({ min: 1, max: 64 }),
    batchSize: fc.constant(64),
    type: fc.constantFrom(...kvCacheTypes),
    flashAttention: fc.boolean(),
    fullWindows: fc.boolean(),
    gpuLayers: fc.constant(0),
  })
  fc.assert(
    fc.property(model, options, fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 8 }), (any, some, tokens, slots) => {
      const total = (changed: Partial<RunOptions>): number => memoryNeeds(any, { ...some, ...changed }).ram.total
      expect(total({ contextLength: some.contextLength + tokens })).toBeGreaterThanOrEqual(total({}))
      expect(total({ slots: some.slots + slots })).toBeGreaterThanOrEqual(total({}))
      expect(total({ fullWindows: true })).toBeGreaterThanOrEqual(total({ fullWindows: false }))
      expect(total({ type: 'q8_0' })).toBeLessThanOrEqual(total({ type: 'f16' }))
      expect(total({ type: 'q4_0' })).toBeLessThanOrEqual(total({ type: 'q8_0' }))
      expect(total({ flashAttention: false })).toBeGreaterThanOrEqual(total({ flashAttention: true }))
    }),
    { numRuns: 300 },
  )
})

test('weights and cache go where their layers go, and are in one place only', () => {
  fc.assert(
    fc.property(model, fc.integer({ min: 0, max: 90 }), (any, gpuLayers) => {
      const options: RunOptions = { contextLength: 4096, slots: 2, batchSize: 64, type: 'f16', flashAttention: true, fullWindows: true, gpuLayers }
      const none = memoryNeeds(any, { ...options, gpuLayers: 0 })
      const { ram, gpu } = memoryNeeds(any, options)
      expect(ram.weights + gpu.weights).toBe(none.ram.weights)
      expect(ram.cache + gpu.cache).toBeCloseTo(none.ram.cache, 3)
      expect(none.gpu.total).toBe(0)
      // The embeddings never leave RAM.
      expect(ram.weights).toBeGreaterThanOrEqual(any.weights.input)
    }),
  )
})

test('sizes are read and written', () => {
  expect(['24GiB', '1.5 gib', '512MB', '10B', '3TiB'].map(parseSize)).toEqual([24 * gib, 1.5 * gib, 512e6, 10, 3 * 1024 * gib])
  expect(['24', '', 'GiB', '-1GiB', '1.2.3GiB', '5 XB'].map(parseSize)).toEqual(Array.from({ length: 6 }, () => undefined))
  expect([0, 100_000, 5 * 2 ** 20, 100 * 2 ** 20, 1023.7 * 2 ** 20, 4.25 * gib].map(sizeText)).toEqual(['0 MiB', '0.1 MiB', '5.0 MiB', '100 MiB', '1.0 GiB', '4.3 GiB'])
})

test('something is left of memory that others use', () => {
  expect(spendable({ available: 16 * gib, bound: 'machine' }, undefined)).toEqual({ ram: 12 * gib, gpu: 0 })
  expect(spendable({ available: gib / 2, bound: 'group' }, 10 * gib)).toEqual({ ram: gib / 4, gpu: 9.5 * gib })
  expect(spendable({ available: 1000, bound: 'group' }, undefined).ram).toBe(0)
})
