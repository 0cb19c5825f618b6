import { LlamaLogLevel, type LlamaModel, type LlamaRankingContext, type Token } from 'node-llama-cpp'
import type { Logger } from '../../shared/log.ts'
import type { RankingEngine } from './engine.ts'
import { readVocabularySize } from './llama-embedding.ts'
import { openRanking } from './llama-internals.ts'
import type { LoadedModel } from './llama-load.ts'
import { chooseContextLength, type LlamaEngineOptions, longestEmbedded } from './llama-options.ts'
import { EngineLoadError } from './load-error.ts'
import { createTimedTurns } from './timed-turns.ts'

/** Scores on a loaded model, one pair after the other: node-llama-cpp has one sequence for it. Throws EngineLoadError. */
export async function createRankingEngine(
  { llama, model }: LoadedModel,
  options: LlamaEngineOptions,
  log: Logger,
): Promise<RankingEngine> {
  if (!model.fileInsights.supportsRanking) {
    throw new EngineLoadError(
      'unsupported_pooling',
      `${options.path} is said to be a reranking model, but lacks the tensors of one (cls.weight or cls.output.weight).`,
    )
  }
  const vocabularySize = readVocabularySize(model, options.path)
  const contextLength = Math.min(longestEmbedded, chooseContextLength(options.contextLength, model.trainContextSize, log))
  const context = await createContext(model, contextLength, options.threads)
  const score = openRanking(context)
  const turns = createTimedTurns((tokens) => score(tokens.slice() as Token[]))
  return {
    kind: 'ranking',
    model: options.model,
    contextLength,
    slots: options.slots,
    vocabularySize,
    rank: turns.run,
    stepMs: turns.stepMs,
    async close() {
      llama.logLevel = LlamaLogLevel.disabled
      await context.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}

async function createContext(model: LlamaModel, contextLength: number, threads: number): Promise<LlamaRankingContext> {
  try {
    // One more than it may use, as for embeddings. The template is there only because one without a separator wants one: pairs come as tokens.
    return await model.createRankingContext({ contextSize: contextLength + 1, batchSize: contextLength + 1, threads, template: '{{query}}{{document}}' })
  } catch (thrown) {
    throw new EngineLoadError(
      'out_of_memory',
      `There is not enough memory for texts of ${contextLength} tokens. Lower the context length.`,
      thrown,
    )
  }
}
