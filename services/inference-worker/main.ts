import { availableParallelism } from 'node:os'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { FatalStartError } from '../shared/supervision.ts'
import { createModelOpener } from '../shared/models/open-model.ts'
import { servedModels } from '../shared/models/served.ts'
import type { Engine } from './engines/engine.ts'
import { createLlamaEngine } from './engines/llama.ts'
import { EngineLoadError } from './engines/load-error.ts'
import { serveEngine } from './serve-engine.ts'

await runService('inference-worker', async (context: ServiceContext): Promise<RunningService> => serveEngine(context, await loadEngine(context)))

async function loadEngine({ config, log }: ServiceContext): Promise<Engine> {
  const { model, slots, contextLength, batchSize, threads, gpu } = config.inferenceWorker
  const served = servedModels(config)
  const entry = model === '' && served.length === 1 ? served[0] : served.find(({ id }) => id === model)
  if (entry === undefined) {
    throw new FatalStartError(`inferenceWorker.model must be one of the served models (${served.map(({ id }) => id).join(', ')}): set it, or INTRAMUROS_INFERENCE_WORKER_MODEL.`)
  }
  const opened = await createModelOpener({ config, env: process.env, log })(entry, 'everything')
  const { path } = opened
  try {
    return await createLlamaEngine({ model: entry.id, path, slots, contextLength, batchSize, threads: threads === 0 ? ownThreads() : threads, gpu }, log)
  } catch (thrown) {
    // Starting again mends none of these.
    if (thrown instanceof EngineLoadError) throw new FatalStartError(thrown.message.replaceAll(path, opened.source))
    throw thrown
  } finally {
    await opened.close()
  }
}

/** One less than the CPUs: with a thread on each, llama.cpp's threads spin while they wait for the one that something else holds up. */
function ownThreads(): number {
  return Math.min(8, Math.max(1, availableParallelism() - 1))
}
