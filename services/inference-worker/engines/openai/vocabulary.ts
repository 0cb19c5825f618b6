import { getLlama, LlamaLogLevel, LlamaVocabularyType, type LlamaModel, type Token } from 'node-llama-cpp'
import { Type } from 'typebox'
import { Check } from 'typebox/value'
import { GgufError } from '../../../shared/gguf/gguf-error.ts'
import { hasVocabulary, readModelFile } from '../../../shared/gguf/model-file.ts'
import { createTokenTexts, type TokenTexts } from '../../../shared/vocabulary/token-texts.ts'
import { readTokenTable } from '../llama-vocabulary.ts'
import { EngineLoadError } from '../load-error.ts'
import { readPurpose } from '../model-purpose.ts'

/** What the model's file tells; its weights stay on the disk. */
export type FileVocabulary = GeneratingVocabulary | EmbeddingVocabulary

export interface GeneratingVocabulary {
  purpose: 'generating'
  vocabularySize: number
  texts: TokenTexts
  /** In their order. */
  endTokens: readonly number[]
}

export interface EmbeddingVocabulary {
  purpose: 'embedding'
  vocabularySize: number
  /** What a text to embed begins and ends with. */
  first: number | undefined
  last: number | undefined
}

const Tokens = Type.Object({ tokens: Type.Array(Type.String(), { minItems: 1 }) })

/** Reads all that is needed and lets go of the file. Throws EngineLoadError. */
export async function readVocabulary(path: string): Promise<FileVocabulary> {
  await checkFile(path)
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, maxThreads: 1, logLevel: LlamaLogLevel.disabled })
  let model: LlamaModel
  try {
    model = await llama.loadModel({ modelPath: path, vocabOnly: true })
  } catch (thrown) {
    // llama stays: after a failed load its dispose() may wait for ever, and the process ends anyway.
    throw new EngineLoadError('file_damaged', `The vocabulary of ${path} can't be read. Fetch it again.`, thrown)
  }
  try {
    return read(model, path)
  } finally {
    await model.dispose()
    await llama.dispose()
  }
}

/** Its parsers allocate what a file asks for, and end the process over a file without a vocabulary. */
async function checkFile(path: string): Promise<void> {
  try {
    if (hasVocabulary(await readModelFile(path))) return
  } catch (thrown) {
    if (thrown instanceof GgufError) throw new EngineLoadError(thrown.reason, thrown.message, thrown)
    throw thrown
  }
  throw new EngineLoadError('unsupported_vocabulary', `${path} has no vocabulary.`)
}

function read(model: LlamaModel, path: string): FileVocabulary {
  const purpose = readPurpose(model.fileInfo.metadata, path)
  if (purpose === 'embedding') {
    const ggml: unknown = model.fileInfo.metadata.tokenizer.ggml
    if (!Check(Tokens, ggml)) throw new EngineLoadError('file_damaged', `${path} lacks the metadata of its vocabulary.`)
    return { purpose, vocabularySize: ggml.tokens.length, ...edges(model) }
  }
  if (purpose === 'ranking') throw new EngineLoadError('unsupported_pooling', `${path} is a reranking model: the engine openai can't serve one. Use the engine llama.`)
  const table = readTokenTable(model, path)
  const ids = table.tokens.map((_, token) => token)
  const kinds = ids.map((token) => table.kindOf(token))
  return {
    purpose,
    vocabularySize: ids.length,
    texts: createTokenTexts({ ...table, kindOf: (token) => kinds[token] ?? 'special' }),
    endTokens: ids.filter((token) => model.isEogToken(token as Token)),
  }
}

/** As llama.cpp tokenises a text of its own: `llama_tokenize` with `add_special`. */
function edges({ vocabularyType, tokens }: LlamaModel): Pick<EmbeddingVocabulary, 'first' | 'last'> {
  const { bos, eos, sep, shouldPrependBosToken, shouldAppendEosToken } = tokens
  switch (vocabularyType) {
    case LlamaVocabularyType.rwkv:
      return { first: undefined, last: undefined }
    case LlamaVocabularyType.wpm:
      return { first: bos ?? undefined, last: sep ?? undefined }
    case LlamaVocabularyType.ugm:
      return { first: undefined, last: eos ?? undefined }
    default:
      return { first: shouldPrependBosToken ? (bos ?? undefined) : undefined, last: shouldAppendEosToken ? (eos ?? undefined) : undefined }
  }
}
