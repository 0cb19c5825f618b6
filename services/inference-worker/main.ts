import { availableParallelism } from 'node:os'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { FatalStartError } from '../shared/supervision.ts'
import { modelPath, servedModels } from '../shared/models/served.ts'
import type { Engine } from './engines/engine.ts'
import { createLlamaEngine } from './engines/llama.ts'
import { EngineLoadError } from './engines/load-error.ts'
import { createOpenaiEngine } from './engines/openai/openai.ts'
import { openaiOptions } from './openai-options.ts'
import { serveEngine } from './serve-engine.ts'

await runService('inference-worker', async (context: ServiceContext): Promise<RunningService> => serveEngine(context, await loadEngine(context)))

async function loadEngine({ config, log }: ServiceContext): Promise<Engine> {
  const { model, slots, spareSlot, contextLength, batchSize, threads, gpu } = config.inferenceWorker
  const served = servedModels(config)
  const entry = model === '' && served.length === 1 ? served[0] : served.find(({ id }) => id === model)
  if (entry === undefined) {
    throw new FatalStartError(`inferenceWorker.model must be one of the served models (${served.map(({ id }) => id).join(', ')}): set it, or INTRAMUROS_INFERENCE_WORKER_MODEL.`)
  }
  const path = await modelPath(entry, config.home)
  try {
    if (config.inferenceWorker.engine === 'openai') return await createOpenaiEngine(await openaiOptions(config, entry.id, path), log)
    return await createLlamaEngine({ model: entry.id, path, slots, spareSlots: spareSlot && slots < 256 ? 1 : 0, contextLength, batchSize, threads: threads === 0 ? ownThreads() : threads, gpu }, log)
  } catch (thrown) {
    // Starting again mends none of these.
    if (thrown instanceof EngineLoadError) throw new FatalStartError(thrown.message)
    throw thrown
  }
}

/** One less than the CPUs: with a thread on each, llama.cpp's threads spin while they wait for the one that something else holds up. */
function ownThreads(): number {
  return Math.min(8, Math.max(1, availableParallelism() - 1))
}
