import { minilmModel } from '../../support/minilm.ts'
import { type Platform, type ScriptedBehaviour, startPlatform } from '../../support/platform.ts'
import { toolModel } from './tool-model.ts'

/** The real model; with `embeddings`, also a real embedding model. One thread: see CONTRIBUTING.md. */
export async function realPlatform({ embeddings = false } = {}): Promise<Platform> {
  const env = { INTRAMUROS_INFERENCE_WORKER_THREADS: '1' }
  return await startPlatform({ realModel: true, env, ...(embeddings ? { embeddingModelPath: await minilmModel() } : {}) })
}

/** A model that writes what it is told to, whatever it is asked, and whose template knows reasoning and tools. */
export async function playedPlatform(behaviour: ScriptedBehaviour): Promise<Platform> {
  return await startPlatform({ workers: [behaviour], modelPath: await toolModel() })
}
