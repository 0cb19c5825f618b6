import type { Llama } from 'node-llama-cpp'
import type { ModelDescription } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Logger } from '../shared/log.ts'
import { type ChatModel, createChatModel, simpleConversation } from './chat-model.ts'
import { indexSpecialTokens, partition, type Piece, type SpecialTokenIndex } from './special-tokens.ts'
import { tokenisePieces, type Tokens } from './tokenise.ts'
import { ModelLoadError } from './model-load-error.ts'
import { createPairs, type Pairs } from './pairs.ts'
import { loadVocabulary, type Vocabulary } from './vocabulary.ts'

export interface ServedModelOptions {
  /** Catalogue id. */
  id: string
  /** A GGUF file. */
  path: string
  /** Tokens that a prompt and its answer may have together; the model's own number if it is not given or larger. */
  contextLength?: number | undefined
}

export { ModelLoadError }

/** A model that prompts can be prepared for. */
export interface ServedModel {
  readonly contextLength: number
  readonly vocabulary: Vocabulary
  /** Undefined for a model that does not chat: it has no chat template, or makes embeddings, or reranks. */
  readonly chat: ChatModel | undefined
  /** Undefined for a model that does not rerank. */
  readonly pairs: Pairs | undefined
  readonly description: ModelDescription
  /** A text cut into plain text and special tokens; control tokens are taken only with `parseSpecial`. */
  pieces(text: string, parseSpecial: boolean): readonly Piece[]
  /** Token ids of such a text, or of a rendered prompt. `complete` is false for a long one that has more tokens than the limit, by default the context. Throws CANCELLED. */
  tokenise(pieces: readonly Piece[], signal: AbortSignal, limit?: number): Promise<Tokens>
  close(): Promise<void>
}

/** Throws ModelLoadError. Resolves when the model has tokenised a text. */
export async function loadModel(llama: Llama, options: ServedModelOptions, log: Logger): Promise<ServedModel> {
  const { id, path, contextLength } = options
  const vocabulary = await loadVocabulary(llama, path)
  try {
    const trained = vocabulary.contextLength
    if (contextLength !== undefined && contextLength > trained) {
      log.warn({ model: id, contextLength, trained }, 'context length bounded by that of the model')
    }
    return await serve(vocabulary, options, Math.min(contextLength ?? trained, trained))
  } catch (thrown) {
    await vocabulary.dispose()
    throw thrown
  }
}

async function serve(vocabulary: Vocabulary, { id, path }: ServedModelOptions, contextLength: number): Promise<ServedModel> {
  const { chatTemplate, specialTokens, description } = vocabulary
  const embeds = description.embeddingLength > 0
  const pairs = createPairs(vocabulary)
  const generates = !embeds && pairs === undefined
  const chat = chatTemplate === undefined || !generates ? undefined : createChatModel(vocabulary, chatTemplate, path)
  const all = indexSpecialTokens(specialTokens)
  const userDefined = indexSpecialTokens(specialTokens.filter(({ control }) => !control))
  const fixed = chat?.fixed ?? new Map<string, readonly number[]>()
  const model: ServedModel = {
    contextLength,
    vocabulary,
    chat,
    pairs,
    description: {
      id,
      contextLength,
      architecture: description.architecture,
      quantisation: description.quantisation,
      parameters: description.parameters,
      vocabularySize: vocabulary.size,
      chat: chat !== undefined,
      completion: generates,
      embedding: embeds,
      tools: chat?.tools ?? false,
      reasoning: chat?.dialect(false).reasoning !== undefined,
      infill: generates && vocabulary.infill !== undefined,
      embeddingLength: description.embeddingLength,
      dialect: chat?.dialect(false).name ?? '',
      rerank: pairs !== undefined,
    },
    pieces: (text, parseSpecial) => textPieces(text.toWellFormed(), parseSpecial ? all : userDefined),
    tokenise: (pieces, signal, limit = contextLength) => tokenisePieces(pieces, { vocabulary, fixed, limit, signal }),
    close: () => vocabulary.dispose(),
  }
  await tryOut(model, path)
  return model
}

function textPieces(text: string, index: SpecialTokenIndex): Piece[] {
  return partition(text, text, index)
}

async function tryOut(model: ServedModel, path: string): Promise<void> {
  const { chat } = model
  if (chat === undefined) {
    await model.tokenise(['Hello.'], AbortSignal.timeout(10_000))
    return
  }
  let tokens: Tokens
  try {
    tokens = await model.tokenise(chat.render(simpleConversation([['user', 'Hello.']])), AbortSignal.timeout(10_000))
  } catch (thrown) {
    throw new ModelLoadError('bad_chat_template', `The chat template of ${path} fails on the simplest conversation.`, thrown)
  }
  if (tokens.ids.length === 0) throw new ModelLoadError('bad_chat_template', `The chat template of ${path} makes nothing of a conversation.`)
}
