import type { TokenizerService as Definition } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Logger } from '../shared/log.ts'
import type { HandlersOf } from '../shared/rpc/methods.ts'
import { packageVersion } from '../shared/supervision.ts'
import type { TokenizerMetrics } from './metrics.ts'
import { loadModel, type ServedModel, type ServedModelOptions } from './model.ts'
import { createPreparePairs } from './pairs.ts'
import { createPrepare } from './prepare.ts'
import { createDetokenize, createTokenize } from './texts.ts'
import { startLlama } from './vocabulary.ts'

export interface TokenizerOptions {
  models: readonly ServedModelOptions[]
  log: Logger
  metrics: TokenizerMetrics
}

export interface TokenizerService {
  handlers: HandlersOf<typeof Definition>
  /** True from the start, each vocabulary having tokenised a conversation by then, until close(). */
  ready(): boolean
  /** Frees the vocabularies. Calls must have ended. */
  close(): Promise<void>
}

/**
 * Loads the vocabularies, one after the other. Throws ModelLoadError, and llama.cpp's error when the machine has no build of it.
 */
export async function createTokenizerService({ models: options, log, metrics }: TokenizerOptions): Promise<TokenizerService> {
  const llama = await startLlama(log)
  const models = new Map<string, ServedModel>()
  const closeModels = async (): Promise<void> => {
    await Promise.all(models.values().map((model) => model.close()))
  }
  try {
    for (const model of options) {
      const start = performance.now()
      // oxlint-disable-next-line no-await-in-loop -- they would wait for each other inside llama.cpp anyway
      const served = await loadModel(llama, model, log)
      models.set(model.id, served)
      const loadMs = Math.round(performance.now() - start)
      log.info({ model: model.id, contextLength: served.contextLength, loadMs }, 'vocabulary loaded')
    }
  } catch (thrown) {
    // Not llama.dispose(): it waits for the model that failed to load, for ever once that is garbage-collected (node-llama-cpp
    // 3.22).
    await closeModels()
    throw thrown
  }
  let ready = true
  return {
    handlers: {
      prepare: createPrepare({ models, log, metrics }),
      preparePairs: createPreparePairs(models),
      tokenize: createTokenize(models),
      detokenize: createDetokenize(models),
      describe: () => Promise.resolve({ models: [...models.values()].map(({ description }) => description), version: packageVersion() }),
    },
    ready: () => ready,
    async close() {
      ready = false
      await closeModels()
      await llama.dispose()
    },
  }
}
