import { getLlama, type Llama, type LlamaModel, LlamaLogLevel } from 'node-llama-cpp'
import { type Static, Type } from 'typebox'
import { Check } from 'typebox/value'
import type { Logger } from '../shared/log.ts'
import { tokenKind } from '../shared/vocabulary/token-kind.ts'
import { createTokenTexts, type TokenTexts } from '../shared/vocabulary/token-texts.ts'
import { GgufError } from '../shared/gguf/gguf-error.ts'
import { hasVocabulary, readModelFile } from '../shared/gguf/model-file.ts'
import { quantisationName } from '../shared/gguf/quantisation.ts'
import { ModelLoadError } from './model-load-error.ts'
import { type PairForm, readPairForm } from './pair-form.ts'

export interface SpecialToken {
  readonly id: number
  readonly text: string
  /** CONTROL or UNKNOWN: no client's text may become it. Otherwise USER_DEFINED, which stands for ordinary text. */
  readonly control: boolean
  /** Swallows white space before or after it. */
  readonly stripLeft: boolean
  readonly stripRight: boolean
}

/** What a model file tells about text and tokens; its weights stay on the disk. */
export interface Vocabulary {
  /** Jinja source; undefined for a model that does not chat. */
  readonly chatTemplate: string | undefined
  readonly bos: { readonly id: number; readonly text: string } | undefined
  /** Empty if the model has none. */
  readonly eosText: string
  /** What the model wants after a text that is no prompt: the EOS token, or BERT's [SEP]. */
  readonly ending: readonly number[]
  /** The tokens for fill-in-the-middle. */
  readonly infill: { readonly prefix: number; readonly suffix: number; readonly middle: number } | undefined
  /** How a query and a document stand together; undefined for a model that does not rerank. */
  readonly pairForm: PairForm | undefined
  /** Token ids are below this. */
  readonly size: number
  readonly texts: TokenTexts
  readonly description: VocabularyDescription
  /** True if each prompt begins with the BOS token. tokenise() does not add it. */
  readonly addBos: boolean
  /** True if tokenise() puts a space before the text (SentencePiece's dummy prefix). */
  readonly addsSpace: boolean
  /** Tokens that the model was trained for. */
  readonly contextLength: number
  /** UTF-8 bytes of the longest token: no text has fewer tokens than its bytes divided by this. */
  readonly longestTokenBytes: number
  readonly specialTokens: readonly SpecialToken[]
  /** Token ids of plain text: control tokens in it are taken for the text they are, BOS and EOS are not added. */
  tokenise(text: string): readonly number[]
  dispose(): Promise<void>
}

/** What the file says of its model. */
export interface VocabularyDescription {
  readonly architecture: string
  /** Empty if the file does not tell. */
  readonly quantisation: string
  readonly parameters: bigint
  /** Of a model that makes embeddings; 0 for others. */
  readonly embeddingLength: number
}

const TokenizerMetadata = Type.Object({
  // An object where the file has templates of other names and none without.
  chat_template: Type.Optional(Type.Union([Type.String(), Type.Object({ rerank: Type.Optional(Type.String()) })])),
  'chat_template.rerank': Type.Optional(Type.String()),
  ggml: Type.Object({
    model: Type.String(),
    tokens: Type.Array(Type.String(), { minItems: 1 }),
    add_space_prefix: Type.Optional(Type.Boolean()),
    pre: Type.Optional(Type.String()),
    add_sep_token: Type.Optional(Type.Boolean()),
  }),
})

const ArchitectureMetadata = Type.Object({
  context_length: Type.Integer({ minimum: 1, maximum: 0xffff_ffff }),
  embedding_length: Type.Optional(Type.Integer({ minimum: 1 })),
  pooling_type: Type.Optional(Type.Integer({ minimum: 0 })),
})

/** Of llama.cpp's llama_pooling_type: a model that reranks. */
const rankPooling = 4

/** llama.cpp, on the CPU. One per process; throws when the machine has no build of it. */
export async function startLlama(log: Logger): Promise<Llama> {
  return await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: 1,
    logLevel: LlamaLogLevel.error,
    // Its errors on loading; tokenising logs nothing.
    logger: (severity, text) => log.warn({ severity, text: text.trim() }, 'llama.cpp'),
  })
}

/** Reads the vocabulary of a GGUF file. Throws ModelLoadError. */
export async function loadVocabulary(llama: Llama, path: string): Promise<Vocabulary> {
  let model: LlamaModel
  try {
    // Its parsers allocate what a file asks for.
    if (!hasVocabulary(await readModelFile(path))) throw new ModelLoadError('bad_metadata', `${path} has no vocabulary.`)
    model = await llama.loadModel({ modelPath: path, vocabOnly: true })
  } catch (thrown) {
    if (thrown instanceof ModelLoadError) throw thrown
    if (thrown instanceof GgufError) throw new ModelLoadError('unreadable_model', thrown.message, thrown)
    throw new ModelLoadError('unreadable_model', `${path} can't be read as a GGUF model: it is damaged, cut short, or of a kind that llama.cpp does not know.`, thrown)
  }
  try {
    return describe(model, path)
  } catch (thrown) {
    await model.dispose()
    throw thrown
  }
}

function describe(model: LlamaModel, path: string): Vocabulary {
  const tokenizer: unknown = model.fileInfo.metadata.tokenizer
  const architecture: unknown = model.fileInfo.architectureMetadata
  if (!Check(TokenizerMetadata, tokenizer)) {
    throw new ModelLoadError('bad_metadata', `${path} lacks the metadata of its tokenizer, or they are not as GGUF wants them.`)
  }
  if (!Check(ArchitectureMetadata, architecture)) {
    throw new ModelLoadError('bad_metadata', `${path} does not tell its context length.`)
  }
  const { chat_template: templates, 'chat_template.rerank': rerankTemplate, ggml } = tokenizer
  const chatTemplate = typeof templates === 'string' ? templates : undefined

  const specialTokens: SpecialToken[] = []
  let longestTokenBytes = 1
  for (const id of model.iterateAllTokens()) {
    const text = ggml.tokens[id] ?? ''
    longestTokenBytes = Math.max(longestTokenBytes, Buffer.byteLength(text))
    // From llama.cpp rather than from the file: it corrects the types of some well-known tokens.
    const attributes = model.getTokenAttributes(id)
    const control = attributes.control || attributes.unknown
    if (!control && !attributes.userDefined) continue
    specialTokens.push({ id, text, control, stripLeft: attributes.lstrip, stripRight: attributes.rstrip })
  }
  const { bos, bosString, eos, eosString, sep, infill, shouldPrependBosToken, shouldAppendEosToken } = model.tokens
  const { prefix, suffix, middle } = infill
  const end = ggml.model === 'bert' ? (sep ?? eos) : eos
  const addsSpace = (ggml.model === 'llama' || ggml.model === 't5') && ggml.add_space_prefix !== false
  const vocabulary: Vocabulary = {
    pairForm: architecture.pooling_type === rankPooling ? readPairForm(model, ggml, rerankTemplate ?? (typeof templates === 'object' ? templates.rerank : undefined), path) : undefined,
    chatTemplate: chatTemplate === undefined || chatTemplate.trim() === '' ? undefined : chatTemplate,
    ending: end !== null && (shouldAppendEosToken || ggml.model === 'bert') ? [end] : [],
    infill: prefix === null || suffix === null || middle === null ? undefined : { prefix, suffix, middle },
    size: ggml.tokens.length,
    texts: createTokenTexts({ model: ggml.model, tokens: ggml.tokens, kindOf: (token) => tokenKind(model, token), addsSpace }),
    description: describeFile(model, architecture),
    bos: bos === null || bosString === null ? undefined : { id: bos, text: bosString },
    eosText: eosString ?? '',
    addBos: shouldPrependBosToken,
    addsSpace,
    contextLength: architecture.context_length,
    longestTokenBytes,
    specialTokens,
    tokenise: (text) => model.tokenize(text, false),
    dispose: () => model.dispose(),
  }
  // The file's arrays, one entry for each token and merge, are most of the memory that a vocabulary takes in JavaScript.
  Object.assign(ggml, { token_type: [], scores: [], merges: [] })
  return vocabulary
}

function describeFile(model: LlamaModel, { embedding_length: length, pooling_type: pooling = 0 }: Static<typeof ArchitectureMetadata>): VocabularyDescription {
  const { general } = model.fileInfo.metadata
  const tensors = model.fileInfo.fullTensorInfo ?? []
  return {
    architecture: general.architecture,
    quantisation: quantisationName(general.file_type),
    parameters: tensors.reduce((sum, { dimensions }) => sum + dimensions.reduce<bigint>((product, size) => product * BigInt(size), 1n), 0n),
    // llama.cpp's llama_pooling_type: mean, CLS, last token.
    embeddingLength: pooling >= 1 && pooling <= 3 ? (length ?? 0) : 0,
  }
}
