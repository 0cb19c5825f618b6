import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { readModelFile } from '../../services/shared/gguf/model-file.ts'
import { splitModel } from '../support/split-model.ts'
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts'

const whole = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
let folder: string
let paths: string[]
let worker: WorkerProcess | undefined
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-split-'))
  paths = await splitModel(whole, folder, 'model', 3)
})
afterEach(async () => {
  await worker?.stop()
  worker = undefined
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a model in parts is read as the whole one', async () => {
  const [parts, one] = [await readModelFile(paths[0] ?? ''), await readModelFile(whole)]
  expect(parts.files).toHaveLength(3)
  const sorted = (tensors: typeof one.tensors): typeof one.tensors => tensors.toSorted((a, b) => a.name.localeCompare(b.name))
  expect(sorted(parts.tensors)).toEqual(sorted(one.tensors))
})

test('a worker serves it, and without one part says which', { timeout: 60_000 }, async () => {
  const settings = { INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '512', INTRAMUROS_INFERENCE_WORKER_SLOTS: '1' }
  const started = await startWorkerProcess(paths[0] ?? '', settings)
  if ('output' in started) throw new Error(started.told || started.output)
  worker = started
  await worker.work(1, 20)
  await worker.stop()
  worker = undefined
  await rename(paths[1] ?? '', join(folder, 'elsewhere.gguf'))
  const failure = await startWorkerProcess(paths[0] ?? '', settings)
  expect(failure).toMatchObject({ status: 66, told: expect.stringMatching(/model-00002-of-00003\.gguf does not exist: it is a part of the model/) as string })
})
