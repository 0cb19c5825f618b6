import { GgufError } from '../gguf/gguf-error.ts'
import type { Tensor } from '../gguf/gguf-header.ts'
import type { ModelFile } from '../gguf/model-file.ts'
import { cachedLayers, cacheless, unusualCache, windowPatterns } from './architectures.ts'
import { type Hyperparameters, hyperparameters } from './metadata.ts'
import { recurrentBytes } from './recurrent-state.ts'

/** What the memory of a model depends on. */
export interface ModelShape {
  readonly architecture: string
  /** Context that it was trained for, in tokens. */
  readonly trainedContext: number
  readonly vocabularySize: number
  /** Texts of the file's vocabulary and of its merges, which programs hold in memory. */
  readonly vocabularyTexts: number
  /** Numbers of a token between the layers. */
  readonly width: number
  /** Most query heads of a layer, and the numbers that they make of a token. */
  readonly heads: number
  readonly attentionWidth: number
  /** Numbers that a feed-forward step holds of a token, at its most. */
  readonly forwardWidth: number
  /** The same of attention over compressed keys and values (MLA); 0 for others. */
  readonly latentWidth: number
  readonly layers: readonly LayerShape[]
  /** Tokens that layers with a window look at; 0: there is none. */
  readonly window: number
  /** A text is looked at in one step, and nothing is kept: an encoder. */
  readonly cacheless: boolean
  /** It makes vectors or ranks, and no text. */
  readonly embeds: boolean
  /** The cache is made in a way that is not known here: what is calculated may be far off. */
  readonly unusual: boolean
}

export interface LayerShape {
  /** Numbers of a token's key and value in the cache; 0 where the layer has none. */
  readonly keyWidth: number
  readonly valueWidth: number
  /** It looks at the window only. */
  readonly windowed: boolean
  /** State of a sequence, whatever its length. */
  readonly recurrentBytes: number
}

/** llama.cpp's LLAMA_MAX_LAYERS. */
const mostLayers = 512

/** Reads it from a model's metadata and tensors. Throws GgufError when they lack what every model has. */
export function readModelShape({ files, metadata, tensors }: ModelFile): ModelShape {
  const path = files[0]?.path ?? ''
  const parameters = hyperparameters(metadata, path)
  const { architecture, number, required } = parameters
  const layerCount = required('block_count')
  if (layerCount < 1 || layerCount > mostLayers) throw new GgufError('file_damaged', `${path} is damaged: it says that its model has ${layerCount} layers.`)
  if (tensors.length === 0) throw new GgufError('file_damaged', `${path} holds no weights.`)
  const lastLayer = Math.max(...tensors.map(({ name }) => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1)))
  if (lastLayer >= layerCount) throw new GgufError('file_damaged', `${path} is damaged: it says that its model has ${layerCount} layers, and has weights of layer ${lastLayer + 1}.`)
  const trainedContext = required('context_length')
  // llama.cpp takes it, and then has room for no token.
  if (trainedContext < 1) throw new GgufError('file_damaged', `${path} is damaged: it says that its model has a context of ${trainedContext} tokens.`)
  const width = required('embedding_length')
  if (width === 0) throw new GgufError('file_damaged', `${path} is damaged: its ${architecture}.embedding_length is 0.`)
  const heads = parameters.perLayer('attention.head_count', layerCount) ?? []
  const mostHeads = Math.max(0, ...heads)
  if (mostHeads === 0 && tensors.some(({ name }) => /\.attn_(q|qkv|q_a)\.weight$/.test(name))) {
    throw new GgufError('file_damaged', `${path} is damaged: it has weights of an attention, and no ${architecture}.attention.head_count.`)
  }
  const headSize = number('attention.key_length') ?? (mostHeads === 0 ? 0 : Math.floor(width / mostHeads))
  const tokens = listLength(metadata.get('tokenizer.ggml.tokens'))
  const pooling = number('pooling_type') ?? 0
  return {
    architecture,
    trainedContext,
    vocabularySize: tokens > 0 ? tokens : (number('vocab_size') ?? 0),
    vocabularyTexts: tokens + listLength(metadata.get('tokenizer.ggml.merges')),
    width,
    heads: mostHeads,
    attentionWidth: mostHeads * (number('attention.key_length_mla') ?? headSize),
    forwardWidth: forwardWidth(parameters, layerCount, isGated(tensors)),
    latentWidth: parameters.number('attention.key_length_mla') === undefined ? 0 : 2 * mostHeads * (number('attention.kv_lora_rank') ?? 0),
    layers: readLayers(parameters, { layerCount, width, heads, headSize, names: layerTensors(tensors.map(({ name }) => name)) }),
    window: windowOf(parameters),
    cacheless: cacheless.has(architecture),
    embeds: pooling >= 1 && pooling <= 4,
    unusual: unusualCache.has(architecture),
  }
}

function listLength(value: unknown): number {
  return typeof value === 'object' && value !== null && 'length' in value && typeof value.length === 'number' ? value.length : 0
}

/** Gate, up and their product at once; without a gate the one takes the place of the other. */
function forwardWidth({ number, perLayer }: Hyperparameters, layers: number, gated: boolean): number {
  const dense = Math.max(0, ...(perLayer('feed_forward_length', layers) ?? []))
  const used = Math.max(0, ...(perLayer('expert_used_count', layers) ?? []))
  if (used === 0) return gated ? 3 * dense : dense
  const expert = Math.max(0, ...(perLayer('expert_feed_forward_length', layers) ?? [dense]))
  const shared = number('expert_shared_feed_forward_length') ?? (number('expert_shared_count') ?? 0) * expert
  return 3 * Math.max(used * expert, shared)
}

/** Has gates beside its matrices, or in them. */
function isGated(tensors: readonly Tensor[]): boolean {
  const up = tensors.find(({ name }) => name === 'blk.0.ffn_up.weight')
  const down = tensors.find(({ name }) => name === 'blk.0.ffn_down.weight')
  return tensors.some(({ name }) => /^blk\.0\.ffn_gate(_up)?(_exps)?\.weight$/.test(name)) || (up?.dimensions[1] ?? 0) > (down?.dimensions[0] ?? 0)
}

/** Names of each layer's tensors, without the layer. */
function layerTensors(names: readonly string[]): ReadonlyMap<number, readonly string[]> {
  const layers = new Map<number, string[]>()
  for (const name of names) {
    const [, layer, rest] = /^blk\.(\d{1,4})\.(.*)$/.exec(name) ?? []
    if (layer === undefined || rest === undefined) continue
    const own = layers.get(Number(layer)) ?? []
    own.push(rest)
    layers.set(Number(layer), own)
  }
  return layers
}

interface LayerContext {
  layerCount: number
  width: number
  heads: readonly number[]
  headSize: number
  names: ReadonlyMap<number, readonly string[]>
}

function readLayers(parameters: Hyperparameters, { layerCount, width, heads, headSize, names }: LayerContext): LayerShape[] {
  const { architecture, number } = parameters
  const kvHeads = parameters.perLayer('attention.head_count_kv', layerCount) ?? heads
  const keySize = headSize
  const valueSize = number('attention.value_length') ?? (heads.length === 0 ? 0 : Math.floor(width / Math.max(1, ...heads)))
  const latent = (number('attention.key_length_mla') ?? 0) > 0 && (number('attention.value_length_mla') ?? 0) > 0
  // The last ones predict further tokens, which is not used.
  const trunk = layerCount - (number('nextn_predict_layers') ?? 0)
  const cached = Math.min(trunk, layerCount - (number('attention.shared_kv_layers') ?? 0), cachedLayers[architecture] ?? trunk)
  return Array.from({ length: layerCount }, (_, index): LayerShape => {
    const recurrent = (names.get(index) ?? []).some((name) => /^(ssm_|shortconv|time_mix)/.test(name))
    const windowed = isWindowed(parameters, index)
    // Both at once is Falcon-H1's alone.
    const attends = index < cached && (!recurrent || architecture === 'falcon-h1')
    const own = attends ? (kvHeads[index] ?? 0) : 0
    return {
      keyWidth: own * ((windowed ? number('attention.key_length_swa') : undefined) ?? keySize),
      valueWidth: latent ? 0 : own * ((windowed ? number('attention.value_length_swa') : undefined) ?? valueSize),
      windowed,
      recurrentBytes: recurrent && index < trunk ? recurrentBytes(parameters, width, heads[index] ?? 0) : 0,
    }
  })
}

function windowOf({ architecture, number, list }: Hyperparameters): number {
  const told = number('attention.sliding_window')
  const pattern = windowPatterns[architecture]
  if (pattern !== undefined) return told ?? pattern.window ?? 0
  return list('attention.sliding_window_pattern') !== undefined || architecture.startsWith('lfm2') ? (told ?? 0) : 0
}

function isWindowed(parameters: Hyperparameters, layer: number): boolean {
  const { architecture, list } = parameters
  if (windowOf(parameters) === 0) return false
  const own = list('attention.sliding_window_pattern')
  if (own !== undefined) return Boolean(own[layer])
  const pattern = windowPatterns[architecture]
  if (pattern === undefined) return true
  const told = parameters.number('attention.sliding_window_pattern')
  const period = told ?? pattern.period
  if (period === 0) return true
  return pattern.denseFirst === true ? layer % period !== 0 : layer % period < period - 1
}
