import { readFile } from 'node:fs/promises'
import { writeGguf } from './gguf-edit.ts'
import { appendMetadata, encodeMetadata, type GgufFile, metadataLength, type MetadataValue, parseGguf, type Tensor } from './gguf-file.ts'

export interface TinyModelOptions {
  /** A GGUF whose vocabulary is taken: a model, or one of llama.cpp's ggml-vocab-*.gguf. */
  vocabulary: string
  chatTemplate: string
  /** Special tokens that the vocabulary lacks. No text of a client's may become one. */
  control?: readonly string[]
  /** Added tokens that stand for ordinary text. */
  userDefined?: readonly string[]
  /** Other metadata, of the tokenizer for instance. */
  metadata?: Readonly<Record<string, MetadataValue>>
}

const width = 32
const contextLength = 65_536
const type = { f32: 0, f16: 1 }
const tokenType = { control: 3, userDefined: 4 }

/**
 * Writes a model of one layer with all weights zero to `path`: it loads at once and has a real vocabulary, but nothing to
 * say. For tests of templates and tokens with models that are too large to have.
 */
export async function writeTinyModel(path: string, options: TinyModelOptions): Promise<void> {
  const source = parseGguf(await readFile(options.vocabulary))
  const metadata = new Map<string, Buffer>()
  const set = (entries: Readonly<Record<string, MetadataValue>>): void => {
    for (const [key, value] of Object.entries(entries)) metadata.set(key, encodeMetadata(value))
  }
  set(architecture)
  for (const [key, value] of source.metadata) {
    if (key.startsWith('tokenizer.') && !key.startsWith('tokenizer.chat_template')) metadata.set(key, value)
  }
  addTokens(metadata, options)
  set({ 'tokenizer.chat_template': options.chatTemplate, ...options.metadata })
  const vocabularySize = metadataLength(metadata.get('tokenizer.ggml.tokens') ?? Buffer.alloc(0))
  await writeGguf(path, { metadata, ...weightless(vocabularySize) })
}

const architecture = {
  'general.architecture': 'llama',
  'general.name': 'tiny',
  'llama.block_count': 1,
  'llama.context_length': contextLength,
  'llama.embedding_length': width,
  'llama.feed_forward_length': width,
  'llama.attention.head_count': 1,
  'llama.attention.layer_norm_rms_epsilon': { float32: 1e-5 },
  'llama.rope.dimension_count': width,
}

function addTokens(metadata: Map<string, Buffer>, { control = [], userDefined = [] }: TinyModelOptions): void {
  const added = [...control, ...userDefined]
  const types = Int32Array.of(...control.map(() => tokenType.control), ...userDefined.map(() => tokenType.userDefined))
  const append = (key: string, more: readonly string[] | Int32Array | Float32Array): void => {
    const present = metadata.get(key)
    if (present !== undefined) metadata.set(key, appendMetadata(present, encodeMetadata(more)))
  }
  append('tokenizer.ggml.tokens', added)
  append('tokenizer.ggml.token_type', types)
  append('tokenizer.ggml.scores', new Float32Array(added.length))
}

function weightless(vocabularySize: number): Pick<GgufFile, 'tensors' | 'data'> {
  const tensors: Tensor[] = []
  let end = 0
  const add = (name: string, dimensions: number[], element: number, bytes: number): void => {
    tensors.push({ name, dimensions, type: element, offset: BigInt(end) })
    end += dimensions.reduce((product, dimension) => product * dimension, bytes)
  }
  const matrix = (name: string, rows: number): void => add(`${name}.weight`, [width, rows], type.f16, 2)
  const norm = (name: string): void => add(`${name}.weight`, [width], type.f32, 4)
  matrix('token_embd', vocabularySize)
  norm('output_norm')
  for (const part of ['attn_norm', 'ffn_norm']) norm(`blk.0.${part}`)
  for (const part of ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down']) matrix(`blk.0.${part}`, width)
  // Each of them is a multiple of the alignment.
  return { tensors, data: Buffer.alloc(end) }
}
