import type { Config } from '../shared/config/load.ts'
import { startBehindWalls } from '../shared/isolation/behind-walls.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { FatalStartError } from '../shared/supervision.ts'
import { sizeSetting } from '../shared/fit/wanted.ts'
import { decodeThreads, usableCpus } from '../shared/machine/cpus.ts'
import { createModelOpener } from '../shared/models/open-model.ts'
import { servedModels } from '../shared/models/served.ts'
import type { Engine } from './engines/engine.ts'
import { createLlamaEngine } from './engines/llama.ts'
import { type LlamaEngineOptions, mostSlots } from './engines/llama-options.ts'
import { EngineLoadError } from './engines/load-error.ts'
import { createOpenaiEngine } from './engines/openai/openai.ts'
import { statusOfLoadError } from './exit-status.ts'
import { openaiOptions } from './openai-options.ts'
import { serveEngine } from './serve-engine.ts'

await runService('inference-worker', (context) => startBehindWalls(context, start))

async function start(context: ServiceContext): Promise<RunningService> {
  return serveEngine(context, await loadEngine(context))
}

async function loadEngine({ config, log, atRisk }: ServiceContext): Promise<Engine> {
  const { model, engine } = config.inferenceWorker
  const served = servedModels(config)
  const entry = model === '' && served.length === 1 ? served[0] : served.find(({ id }) => id === model)
  if (entry === undefined) {
    throw new FatalStartError(`inferenceWorker.model must be one of the served models (${served.map(({ id }) => id).join(', ')}): set it, or INTRAMUROS_INFERENCE_WORKER_MODEL.`)
  }
  const opened = await createModelOpener({ config, env: process.env, log })(entry, engine === 'openai' ? 'vocabulary' : 'everything')
  const { path, source } = opened
  atRisk(`It died while loading ${source} or trying it out: the file is damaged or of a kind that llama.cpp fails on, or the memory ran out.`)
  try {
    return engine === 'openai' ? await createOpenaiEngine(await openaiOptions(config, entry.id, path), log) : await createLlamaEngine(llamaOptions(config, entry.id, path), log)
  } catch (thrown) {
    // Starting again mends none of these.
    if (thrown instanceof EngineLoadError) throw new FatalStartError(thrown.message.replaceAll(path, source), statusOfLoadError[thrown.reason])
    throw thrown
  } finally {
    await opened.close()
  }
}

function llamaOptions({ inferenceWorker }: Config, model: string, path: string): LlamaEngineOptions {
  const { slots, spareSlot, contextLength, batchSize, threads, gpu, gpuLayers, kvCacheType, flashAttention, memory, gpuMemory } = inferenceWorker
  return {
    model,
    path,
    slots,
    spareSlots: spareSlot && slots < mostSlots ? 1 : 0,
    contextLength,
    batchSize,
    threads: threads === 0 ? decodeThreads(usableCpus()) : threads,
    gpu,
    gpuLayers: gpuLayers < 0 ? undefined : gpuLayers,
    kvCacheType,
    flashAttention,
    memory: { ram: sizeSetting(memory), gpu: sizeSetting(gpuMemory) },
  }
}
