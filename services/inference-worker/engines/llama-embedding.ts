import { LlamaLogLevel, type LlamaEmbeddingContext, type LlamaModel, type Token } from 'node-llama-cpp'
import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { Logger } from '../../shared/log.ts'
import type { EmbeddingEngine } from './engine.ts'
import type { LoadedModel } from './llama-load.ts'
import { chooseContextLength, type LlamaEngineOptions, longestEmbedded } from './llama-options.ts'
import { EngineLoadError } from './load-error.ts'
import { createTimedTurns } from './timed-turns.ts'

const Vocabulary = Type.Object({ tokens: Type.Array(Type.String(), { minItems: 1 }) })

/** Embeds on a loaded model, one input after the other: node-llama-cpp has one sequence for it. Throws EngineLoadError. */
export async function createEmbeddingEngine(
  { llama, model }: LoadedModel,
  options: LlamaEngineOptions,
  log: Logger,
): Promise<EmbeddingEngine> {
  const vocabularySize = readVocabularySize(model, options.path)
  const contextLength = Math.min(longestEmbedded, chooseContextLength(options.contextLength, model.trainContextSize, log))
  const context = await createContext(model, contextLength, options.threads)
  const turns = createTimedTurns(async (tokens) => (await context.getEmbeddingFor(copied(tokens))).vector)
  return {
    kind: 'embedding',
    model: options.model,
    contextLength,
    slots: options.slots,
    vocabularySize,
    inputLength: (tokens) => context.calculateInputLength(copied(tokens)),
    embed: turns.run,
    stepMs: turns.stepMs,
    async close() {
      llama.logLevel = LlamaLogLevel.disabled
      await context.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}

/** Throws EngineLoadError. */
export function readVocabularySize(model: LlamaModel, path: string): number {
  const vocabulary: unknown = model.fileInfo.metadata.tokenizer.ggml
  if (!Check(Vocabulary, vocabulary)) throw new EngineLoadError('file_damaged', `${path} lacks the metadata of its vocabulary.`)
  return vocabulary.tokens.length
}

/** node-llama-cpp adds the model's first and last token to the very array that it is given. */
function copied(tokens: readonly number[]): Token[] {
  return tokens.slice() as Token[]
}

async function createContext(model: LlamaModel, contextLength: number, threads: number): Promise<LlamaEmbeddingContext> {
  try {
    // One more than it may use: node-llama-cpp takes only what is shorter than the context.
    return await model.createEmbeddingContext({ contextSize: contextLength + 1, batchSize: contextLength + 1, threads })
  } catch (thrown) {
    throw new EngineLoadError(
      'out_of_memory',
      `There is not enough memory for texts of ${contextLength} tokens. Lower the context length.`,
      thrown,
    )
  }
}
