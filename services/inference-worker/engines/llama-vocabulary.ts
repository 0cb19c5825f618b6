import type { LlamaModel } from 'node-llama-cpp'
import { Type } from 'typebox'
import { Check } from 'typebox/value'
import { EngineLoadError } from './load-error.ts'
import { tokenKind } from '../../shared/vocabulary/token-kind.ts'
import { knownVocabularies, type TokenTable } from '../../shared/vocabulary/token-texts.ts'

const VocabularyMetadata = Type.Object({
  model: Type.String(),
  tokens: Type.Array(Type.String(), { minItems: 1 }),
  add_space_prefix: Type.Optional(Type.Boolean()),
})

/** What is needed of a loaded model's vocabulary to turn tokens into text. Throws EngineLoadError. */
export function readTokenTable(model: LlamaModel, path: string): TokenTable {
  const ggml: unknown = model.fileInfo.metadata.tokenizer.ggml
  if (!Check(VocabularyMetadata, ggml))
    throw new EngineLoadError('file_damaged', `${path} lacks the metadata of its vocabulary, or they are not as GGUF wants them.`)
  if (!knownVocabularies.includes(ggml.model)) {
    throw new EngineLoadError(
      'unsupported_vocabulary',
      `${path} has a kind of vocabulary that is not known here; known are ${knownVocabularies.join(', ')}.`,
    )
  }
  const table: TokenTable = {
    model: ggml.model,
    tokens: ggml.tokens,
    kindOf: (token) => tokenKind(model, token),
    addsSpace: ggml.model !== 'gpt2' && ggml.add_space_prefix !== false,
  }
  // Copies of what llama.cpp holds itself; with large vocabularies tens of megabytes.
  Object.assign(ggml, { scores: [], merges: [] })
  return table
}
