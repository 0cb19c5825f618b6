import { open } from 'node:fs/promises'
import { encodeMetadata, type MetadataValue, serialiseGguf } from './gguf-file.ts'

/** A tensor's name, its dimensions (fastest-changing first), and its type. */
export type HollowTensor = readonly [name: string, dimensions: readonly number[], type: keyof typeof types]

export interface HollowModel {
  metadata: Readonly<Record<string, MetadataValue>>
  tensors: readonly HollowTensor[]
}

/** ggml's number, elements and bytes of a block. */
const types = { F32: [0, 1, 4], F16: [1, 1, 2], Q8_0: [8, 32, 34], Q4_K: [12, 256, 144], Q6_K: [14, 256, 210], MXFP4: [39, 32, 17] } as const

const alignment = 32

/**
 * Writes a GGUF file with the header of a model and no weights: all of its data is one hole, which takes no room on the disk. For
 * what is told of a model without loading it.
 */
export async function writeHollowModel(path: string, { metadata, tensors }: HollowModel): Promise<void> {
  let end = 0
  const placed = tensors.map(([name, dimensions, type]) => {
    const [number, elements, bytes] = types[type]
    const offset = BigInt(end)
    const size = (dimensions.reduce((product, dimension) => product * dimension, 1) / elements) * bytes
    end += Math.ceil(size / alignment) * alignment
    return { name, dimensions, type: number, offset }
  })
  const entries = Object.entries(metadata).map(([key, value]) => [key, encodeMetadata(value)] as const)
  const header = Buffer.concat(serialiseGguf({ metadata: new Map(entries), tensors: placed, data: Buffer.alloc(0) }))
  const file = await open(path, 'w')
  try {
    await file.write(header)
    await file.truncate(header.length + end)
  } finally {
    await file.close()
  }
}

export interface Shape {
  architecture: string
  layers: number
  width: number
  heads: number
  /** One for all layers, or one for each. */
  kvHeads: number | Int32Array
  headSize: number
  feedForward: number
  vocabulary: number
  context: number
  /** Of the embedding and output matrices. */
  matrices?: HollowTensor[2]
  /** The output matrix is the embedding matrix. */
  tied?: boolean
  /** Experts, and how many of them each token takes; their feed-forward length is `feedForward`. */
  experts?: readonly [all: number, used: number]
  metadata?: Readonly<Record<string, MetadataValue>>
  /** Of a layer, beside attention and feed-forward. */
  more?: (layer: number) => readonly HollowTensor[]
  /** In place of the usual matrices. */
  attention?: (layer: number) => readonly HollowTensor[]
  forward?: (layer: number) => readonly HollowTensor[]
  /** False: it has no norm before its feed-forward step, or calls it otherwise. */
  forwardNorm?: false
}

/** A decoder as most are built, in 4 bits. */
export function decoder(shape: Shape): HollowModel {
  const { architecture, layers, width, heads, kvHeads, headSize, feedForward, vocabulary, context, tied = false, experts, matrices = 'Q4_K' } = shape
  const [all = 0, used = 0] = experts ?? []
  const own = (entries: Readonly<Record<string, MetadataValue>>): [string, MetadataValue][] =>
    Object.entries(entries).map(([key, value]) => [`${architecture}.${key}`, value])
  const attention =
    shape.attention ??
    ((layer: number): HollowTensor[] => [
      [`blk.${layer}.attn_q.weight`, [width, heads * headSize], 'Q4_K'],
      [`blk.${layer}.attn_k.weight`, [width, Number(kvHeads) * headSize], 'Q4_K'],
      [`blk.${layer}.attn_v.weight`, [width, Number(kvHeads) * headSize], 'Q6_K'],
      [`blk.${layer}.attn_output.weight`, [heads * headSize, width], 'Q4_K'],
    ])
  const usualForward = (layer: number): HollowTensor[] =>
    experts === undefined
      ? [
          [`blk.${layer}.ffn_gate.weight`, [width, feedForward], 'Q4_K'],
          [`blk.${layer}.ffn_up.weight`, [width, feedForward], 'Q4_K'],
          [`blk.${layer}.ffn_down.weight`, [feedForward, width], 'Q6_K'],
        ]
      : [
          [`blk.${layer}.ffn_gate_inp.weight`, [width, all], 'F32'],
          [`blk.${layer}.ffn_gate_exps.weight`, [width, feedForward, all], 'Q8_0'],
          [`blk.${layer}.ffn_up_exps.weight`, [width, feedForward, all], 'Q8_0'],
          [`blk.${layer}.ffn_down_exps.weight`, [feedForward, width, all], 'Q8_0'],
        ]
  return {
    metadata: {
      'general.architecture': architecture,
      'general.name': 'hollow',
      'tokenizer.ggml.model': 'none',
      ...Object.fromEntries(
        own({
          block_count: layers,
          context_length: context,
          embedding_length: width,
          feed_forward_length: feedForward,
          vocab_size: vocabulary,
          'attention.head_count': heads,
          'attention.head_count_kv': kvHeads,
          'attention.key_length': headSize,
          'attention.value_length': headSize,
          'attention.layer_norm_rms_epsilon': { float32: 1e-6 },
          'rope.dimension_count': headSize,
          ...(experts === undefined ? {} : { expert_count: all, expert_used_count: used, expert_feed_forward_length: feedForward }),
          ...shape.metadata,
        }),
      ),
    },
    tensors: [
      ['token_embd.weight', [width, vocabulary], matrices],
      ['output_norm.weight', [width], 'F32'],
      ...(tied ? [] : [['output.weight', [width, vocabulary], matrices] as const]),
      ...Array.from({ length: layers }, (_, layer): HollowTensor[] => [
        [`blk.${layer}.attn_norm.weight`, [width], 'F32'],
        ...(shape.forwardNorm === false ? [] : [[`blk.${layer}.ffn_norm.weight`, [width], 'F32'] as const]),
        ...attention(layer),
        ...(shape.forward ?? usualForward)(layer),
        ...(shape.more?.(layer) ?? []),
      ]).flat(),
    ],
  }
}
