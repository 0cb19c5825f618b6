import type { LlamaModel, Token } from 'node-llama-cpp'
import { Type } from 'typebox'
import { Check } from 'typebox/value'
import { EngineLoadError } from './load-error.ts'
import { knownVocabularies, type TokenKind, type TokenTable } from '../../shared/vocabulary/token-texts.ts'

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
    // From llama.cpp rather than from the file: it corrects the types of some well-known tokens.
    kindOf: (token) => kindOf(model, token),
    addsSpace: ggml.model !== 'gpt2' && ggml.add_space_prefix !== false,
  }
  // Copies of what llama.cpp holds itself; with large vocabularies tens of megabytes.
  Object.assign(ggml, { scores: [], merges: [] })
  return table
}

function kindOf(model: LlamaModel, token: number): TokenKind {
  const attributes = model.getTokenAttributes(token as Token)
  if (attributes.control || attributes.unknown) return 'special'
  if (attributes.userDefined) return 'literal'
  if (attributes.byte) return 'byte'
  return attributes.normal ? 'text' : 'special'
}
