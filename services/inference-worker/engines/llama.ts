import type { Logger } from '../../shared/log.ts'
import type { Engine } from './engine.ts'
import { probe } from '../probe.ts'
import { createEmbeddingEngine } from './llama-embedding.ts'
import { createGeneratingEngine } from './llama-generating.ts'
import { loadLlamaModel } from './llama-load.ts'
import type { LlamaEngineOptions } from './llama-options.ts'
import { createRankingEngine } from './llama-ranking.ts'
import { EngineLoadError } from './load-error.ts'
import { readPurpose } from './model-purpose.ts'
import { NoNumbersError } from './no-numbers-error.ts'

const creators = { generating: createGeneratingEngine, embedding: createEmbeddingEngine, ranking: createRankingEngine }

/** llama.cpp in this process, through node-llama-cpp: decodes, embeds or ranks, as the model's file says. Throws EngineLoadError. */
export async function createLlamaEngine(options: LlamaEngineOptions, log: Logger): Promise<Engine> {
  const loaded = await loadLlamaModel(options, log)
  const { llama, model } = loaded
  try {
    const purpose = readPurpose(model.fileInfo.metadata, options.path)
    const { slots: planned, contextLength: fitting } = loaded.plan.options
    const chosen = { ...options, slots: options.slots > 0 ? options.slots : planned, spareSlots: loaded.plan.spareSlots, contextLength: options.contextLength > 0 ? options.contextLength : fitting }
    const engine = await creators[purpose](loaded, chosen, log)
    await probe(engine, 0, new AbortController().signal)
    const { kind, contextLength, slots } = engine
    log.info({ model: options.model, kind, contextLength, slots, threads: options.threads, gpu: llama.gpu }, 'engine loaded')
    return engine
  } catch (thrown) {
    await model.dispose()
    if (thrown instanceof NoNumbersError) throw new EngineLoadError('file_damaged', `${options.path} is damaged, or the device: what its model computes are no numbers.`)
    throw thrown
  }
}
