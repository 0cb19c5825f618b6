import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { readModel } from '../../services/shared/fit/read-model.ts'
import { memoryNeeds } from '../../services/shared/fit/memory-need.ts'
import type { KvCacheType } from '../../services/shared/fit/kv-cache.ts'
import { batchSizes, fullWindows } from '../../services/shared/fit/wanted.ts'
import { gemmaModel } from '../support/gemma.ts'
import { writeHollowModel } from '../support/hollow-model.ts'
import { hollowModels } from '../support/hollow-models.ts'
import { minilmModel } from '../support/minilm.ts'
import { residentMemory, startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts'

let worker: WorkerProcess | undefined
afterEach(async () => {
  await worker?.stop()
  worker = undefined
})

async function start(path: string, settings: Readonly<Record<string, string>>): Promise<WorkerProcess> {
  const started = await startWorkerProcess(path, settings)
  if ('output' in started) throw new Error(started.told || started.output)
  worker = started
  return started
}

const setting = (name: string): string => `INTRAMUROS_INFERENCE_WORKER_${name}`

/** What a worker really takes once all its slots have worked, and what was calculated, the spare slot included; in MiB. */
async function measured(path: string, { contextLength, slots, type }: { contextLength: number; slots: number; type: KvCacheType }): Promise<{ real: number; calculated: number }> {
  const model = await readModel(path)
  const options = { contextLength, slots: model.shape.embeds ? 1 : slots + 1, type, gpuLayers: 0, flashAttention: true, fullWindows, batchSize: batchSizes(512).cpu }
  const { ram } = memoryNeeds(model, options)
  const { pid, work } = await start(path, {
    [setting('CONTEXT_LENGTH')]: String(contextLength),
    [setting('SLOTS')]: String(slots),
    [setting('KV_CACHE_TYPE')]: type,
  })
  await work(slots, 48)
  return { real: (await residentMemory(pid)) / 2 ** 20, calculated: ram.total / 2 ** 20 }
}

// It reads /proc.
describe.skipIf(process.platform !== 'linux')('what is calculated is within a tenth of what a worker really takes', { timeout: 120_000 }, () => {
  let paths: { smollm: string; gemma: string; minilm: string }
  beforeAll(async () => {
    paths = { smollm: process.env['INTRAMUROS_TEST_MODEL'] ?? '', gemma: await gemmaModel(), minilm: await minilmModel() }
  }, 900_000)

  test.each([
    ['smollm', 4096, 4, 'f16'],
    ['smollm', 8192, 8, 'f16'],
    ['smollm', 8192, 4, 'q8_0'],
    ['smollm', 8192, 8, 'q4_0'],
    ['gemma', 4096, 4, 'f16'],
    ['gemma', 32_768, 2, 'q8_0'],
  ] as const)('%s, %i tokens, %i slots, %s', async (model, contextLength, slots, type) => {
    const { real, calculated } = await measured(paths[model], { contextLength, slots, type })
    expect(real).toBeGreaterThan(0.9 * calculated)
    expect(real).toBeLessThan(1.1 * calculated)
  })

  // Here nearly all is the program itself, which takes now a little more and now a little less.
  test.each([
    ['smollm', 2048, 1],
    ['minilm', 512, 4],
  ] as const)('%s, %i tokens, %i slots: within 64 MiB', async (model, contextLength, slots) => {
    const { real, calculated } = await measured(paths[model], { contextLength, slots, type: 'f16' })
    expect(Math.abs(real - calculated)).toBeLessThan(64)
  })
})

test('a model that does not fit is refused at start, with the numbers and with what would fit', { timeout: 90_000 }, async () => {
  const failure = await startWorkerProcess(process.env['INTRAMUROS_TEST_MODEL'] ?? '', { [setting('SLOTS')]: '16', [setting('CONTEXT_LENGTH')]: '8192', [setting('MEMORY')]: '1GiB' })
  if (!('output' in failure)) {
    worker = failure
    throw new Error('it started')
  }
  expect(failure.status).toBe(71)
  expect(failure.told).toMatch(/16 slots of 8192 tokens .* needs 3\.\d GiB of RAM \(weights 92 MiB, KV cache 2\.8 GiB, .*1\.0 GiB of RAM can be had/)
  const [, slots = '', contextLength = '', type = ''] = /What would fit: (\d+) slots of (\d+) tokens with kvCacheType (\w+)/.exec(failure.told) ?? []
  // And it does.
  await start(process.env['INTRAMUROS_TEST_MODEL'] ?? '', {
    [setting('SLOTS')]: slots,
    [setting('CONTEXT_LENGTH')]: contextLength,
    [setting('KV_CACHE_TYPE')]: type,
    [setting('MEMORY')]: '1GiB',
  })
})

test('a model without a vocabulary is refused, which would be a crash', { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'intramuros-hollow-'))
  try {
    const hollow = hollowModels['phi-3-mini']
    if (hollow === undefined) throw new Error('no such model')
    const path = join(folder, 'hollow.gguf')
    await writeHollowModel(path, hollow)
    expect(await startWorkerProcess(path, {})).toMatchObject({ status: 65, told: expect.stringContaining('has no vocabulary') as string })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
