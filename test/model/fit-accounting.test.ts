import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getLlama, GgufInsights, GgmlType, type Llama, LlamaLogLevel, readGgufFileInfo } from 'node-llama-cpp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { memoryNeeds, type Model, type RunOptions } from '../../services/shared/fit/memory-need.ts'
import { readModel } from '../../services/shared/fit/read-model.ts'
import { writeHollowModel } from '../support/hollow-model.ts'
import { hollowModels } from '../support/hollow-models.ts'

/** llama.cpp's own accounts of models that it lays out and does not load: of real sizes and shapes, without their weights. */
let folder: string
let llama: Llama
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-hollow-'))
  llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.error })
})
afterAll(async () => {
  await llama.dispose()
  await rm(folder, { recursive: true, force: true })
})

const types = { f16: GgmlType.F16, q8_0: GgmlType.Q8_0, q4_0: GgmlType.Q4_0 }
const usual: RunOptions = { contextLength: 4096, slots: 4, batchSize: 64, type: 'f16', flashAttention: true, fullWindows: true, gpuLayers: 0 }
const ways: readonly Partial<RunOptions>[] = [
  {},
  { fullWindows: false },
  { contextLength: 1000, slots: 3, type: 'q8_0' },
  { contextLength: 8192, slots: 2, batchSize: 512, type: 'q4_0', fullWindows: false },
  { slots: 1, batchSize: 512, flashAttention: false, fullWindows: false },
  { contextLength: 32_768, slots: 1 },
]

/** What llama.cpp reserves beside the weights. */
async function accounted(insights: GgufInsights, { contextLength, slots, batchSize, type, flashAttention, fullWindows }: RunOptions): Promise<number> {
  const { cpuRam } = await insights.estimateContextResourceRequirementsV2({
    contextSize: contextLength,
    sequences: slots,
    batchSize,
    modelGpuLayers: 0,
    flashAttention,
    swaFullCache: fullWindows,
    kvCacheKeyType: types[type],
    kvCacheValueType: types[type],
  })
  return cpuRam
}

describe.each(Object.keys(hollowModels))('%s', (name) => {
  let model: Model
  let insights: GgufInsights
  beforeAll(async () => {
    const path = join(folder, `${name}.gguf`)
    const hollow = hollowModels[name]
    if (hollow === undefined) throw new Error('no such model')
    await writeHollowModel(path, hollow)
    model = await readModel(path)
    insights = await GgufInsights.from(await readGgufFileInfo(path), llama)
  })

  test('its weights are those that llama.cpp counts', async () => {
    const { cpuRam } = await insights.estimateModelResourceRequirementsV2({ gpuLayers: 0 })
    const { tiedIsReordered, tiedOutput } = model.weights
    // node-llama-cpp leaves out the second copy of an embedding matrix that is the output matrix, too.
    expect(memoryNeeds(model, usual).ram.weights - (tiedIsReordered ? tiedOutput : 0)).toBe(cpuRam)
  })

  test.each(ways)('its cache and buffers with %o', async (way) => {
    const options = { ...usual, ...way }
    const { ram } = memoryNeeds(model, options)
    const real = await accounted(insights, options)
    expect((ram.cache + ram.compute) / real).toBeGreaterThan(0.95)
    expect((ram.cache + ram.compute) / real).toBeLessThan(1.05)
  })
})
