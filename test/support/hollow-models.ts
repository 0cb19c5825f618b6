import { decoder, type HollowModel, type HollowTensor } from './hollow-model.ts'

const f32 = (layer: number, names: Readonly<Record<string, number>>): HollowTensor[] =>
  Object.entries(names).map(([name, size]) => [`blk.${layer}.${name}`, [size], 'F32'])

/** Headers of well-known models, of their real sizes. */
export const hollowModels: Readonly<Record<string, HollowModel>> = {
  'llama-3.1-8b': decoder({
    architecture: 'llama', layers: 32, width: 4096, heads: 32, kvHeads: 8, headSize: 128, feedForward: 14336, vocabulary: 128256, context: 131072,
  }),
  'qwen3-8b': decoder({
    architecture: 'qwen3', layers: 36, width: 4096, heads: 32, kvHeads: 8, headSize: 128, feedForward: 12288, vocabulary: 151936, context: 40960,
    more: (layer) => f32(layer, { 'attn_k_norm.weight': 128, 'attn_q_norm.weight': 128 }),
  }),
  'gemma-3-4b': decoder({
    architecture: 'gemma3', layers: 34, width: 2560, heads: 8, kvHeads: 4, headSize: 256, feedForward: 10240, vocabulary: 262144, context: 131072, tied: true,
    metadata: { 'attention.sliding_window': 1024 },
    more: (layer) => f32(layer, { 'attn_k_norm.weight': 256, 'attn_q_norm.weight': 256, 'post_attention_norm.weight': 2560, 'post_ffw_norm.weight': 2560 }),
  }),
  'gemma-2-9b': decoder({
    architecture: 'gemma2', layers: 42, width: 3584, heads: 16, kvHeads: 8, headSize: 256, feedForward: 14336, vocabulary: 256000, context: 8192, tied: true,
    metadata: { 'attention.sliding_window': 4096, attn_logit_softcapping: { float32: 50 }, final_logit_softcapping: { float32: 30 } },
    more: (layer) => f32(layer, { 'post_attention_norm.weight': 3584, 'post_ffw_norm.weight': 3584 }),
  }),
  'mixtral-8x7b': decoder({
    architecture: 'llama', layers: 32, width: 4096, heads: 32, kvHeads: 8, headSize: 128, feedForward: 14336, vocabulary: 32000, context: 32768, experts: [8, 2],
  }),
  'qwen3-30b-a3b': decoder({
    architecture: 'qwen3moe', layers: 48, width: 2048, heads: 32, kvHeads: 4, headSize: 128, feedForward: 768, vocabulary: 151936, context: 40960, experts: [128, 8],
    more: (layer) => f32(layer, { 'attn_k_norm.weight': 128, 'attn_q_norm.weight': 128 }),
  }),
  'gpt-oss-20b': decoder({
    architecture: 'gpt-oss', layers: 24, width: 2880, heads: 64, kvHeads: 8, headSize: 64, feedForward: 2880, vocabulary: 201088, context: 131072, experts: [32, 4], matrices: 'Q8_0', forwardNorm: false,
    metadata: { 'attention.sliding_window': 128 },
    attention: (layer) => [
      [`blk.${layer}.attn_q.weight`, [2880, 4096], 'Q8_0'],
      [`blk.${layer}.attn_k.weight`, [2880, 512], 'Q8_0'],
      [`blk.${layer}.attn_v.weight`, [2880, 512], 'Q8_0'],
      [`blk.${layer}.attn_output.weight`, [4096, 2880], 'Q8_0'],
    ],
    more: (layer) => [
      ...f32(layer, {
        'attn_q.bias': 4096, 'attn_k.bias': 512, 'attn_v.bias': 512, 'attn_output.bias': 2880, 'post_attention_norm.weight': 2880, 'attn_sinks.weight': 64, 'ffn_gate_inp.bias': 32,
      }),
      ...['ffn_gate_exps', 'ffn_up_exps', 'ffn_down_exps'].map((name): HollowTensor => [`blk.${layer}.${name}.bias`, [2880, 32], 'F32']),
    ],
  }),
  'deepseek-v2-lite': decoder({
    architecture: 'deepseek2', layers: 27, width: 2048, heads: 16, kvHeads: 1, headSize: 576, feedForward: 1408, vocabulary: 102400, context: 163840, experts: [64, 6],
    metadata: {
      'attention.kv_lora_rank': 512, 'attention.value_length': 512, 'attention.key_length_mla': 192, 'attention.value_length_mla': 128, 'rope.dimension_count': 64,
      expert_shared_count: 2, expert_weights_scale: { float32: 1 }, leading_dense_block_count: 0,
    },
    attention: (layer) => [
      [`blk.${layer}.attn_q.weight`, [2048, 16 * 192], 'Q4_K'],
      [`blk.${layer}.attn_kv_a_mqa.weight`, [2048, 576], 'Q4_K'],
      [`blk.${layer}.attn_kv_a_norm.weight`, [512], 'F32'],
      [`blk.${layer}.attn_k_b.weight`, [128, 512, 16], 'Q8_0'],
      [`blk.${layer}.attn_v_b.weight`, [512, 128, 16], 'Q8_0'],
      [`blk.${layer}.attn_output.weight`, [16 * 128, 2048], 'Q4_K'],
    ],
    more: (layer) => [
      [`blk.${layer}.ffn_gate_shexp.weight`, [2048, 2816], 'Q4_K'],
      [`blk.${layer}.ffn_up_shexp.weight`, [2048, 2816], 'Q4_K'],
      [`blk.${layer}.ffn_down_shexp.weight`, [2816, 2048], 'Q4_K'],
    ],
  }),
  'phi-3-mini': decoder({
    architecture: 'phi3', layers: 32, width: 3072, heads: 32, kvHeads: 32, headSize: 96, feedForward: 8192, vocabulary: 32064, context: 4096,
    metadata: { 'attention.sliding_window': 2047 },
    attention: (layer) => [
      [`blk.${layer}.attn_qkv.weight`, [3072, 9216], 'Q4_K'],
      [`blk.${layer}.attn_output.weight`, [3072, 3072], 'Q4_K'],
    ],
    forward: (layer) => [
      [`blk.${layer}.ffn_up.weight`, [3072, 16384], 'Q4_K'],
      [`blk.${layer}.ffn_down.weight`, [8192, 3072], 'Q6_K'],
    ],
  }),
  'mamba-2.8b': decoder({
    architecture: 'mamba', layers: 64, width: 2560, heads: 0, kvHeads: 0, headSize: 0, feedForward: 0, vocabulary: 50280, context: 8192, matrices: 'Q8_0', forwardNorm: false,
    metadata: { 'ssm.conv_kernel': 4, 'ssm.inner_size': 5120, 'ssm.state_size': 16, 'ssm.time_step_rank': 160 },
    attention: (layer) => [
      [`blk.${layer}.ssm_in.weight`, [2560, 10240], 'Q8_0'],
      [`blk.${layer}.ssm_conv1d.weight`, [4, 5120], 'F32'],
      [`blk.${layer}.ssm_conv1d.bias`, [5120], 'F32'],
      [`blk.${layer}.ssm_x.weight`, [5120, 192], 'Q8_0'],
      [`blk.${layer}.ssm_dt.weight`, [160, 5120], 'Q8_0'],
      [`blk.${layer}.ssm_dt.bias`, [5120], 'F32'],
      [`blk.${layer}.ssm_a`, [16, 5120], 'F32'],
      [`blk.${layer}.ssm_d`, [5120], 'F32'],
      [`blk.${layer}.ssm_out.weight`, [5120, 2560], 'Q8_0'],
    ],
    forward: () => [],
  }),
  // Every eighth layer attends; the others are recurrent.
  'jamba-mini': decoder({
    architecture: 'jamba', layers: 32, width: 4096, heads: 32, kvHeads: Int32Array.from({ length: 32 }, (_, layer) => (layer % 8 === 4 ? 8 : 0)), headSize: 128,
    feedForward: 14336, vocabulary: 65536, context: 262144,
    metadata: { 'ssm.conv_kernel': 4, 'ssm.inner_size': 8192, 'ssm.state_size': 16, 'ssm.time_step_rank': 256 },
    attention: (layer) =>
      layer % 8 === 4
        ? [
            [`blk.${layer}.attn_q.weight`, [4096, 4096], 'Q4_K'],
            [`blk.${layer}.attn_k.weight`, [4096, 1024], 'Q4_K'],
            [`blk.${layer}.attn_v.weight`, [4096, 1024], 'Q4_K'],
            [`blk.${layer}.attn_output.weight`, [4096, 4096], 'Q4_K'],
          ]
        : [
            [`blk.${layer}.ssm_in.weight`, [4096, 16384], 'Q4_K'],
            [`blk.${layer}.ssm_conv1d.weight`, [4, 8192], 'F32'],
            [`blk.${layer}.ssm_conv1d.bias`, [8192], 'F32'],
            [`blk.${layer}.ssm_x.weight`, [8192, 288], 'Q4_K'],
            [`blk.${layer}.ssm_dt.weight`, [256, 8192], 'Q4_K'],
            [`blk.${layer}.ssm_dt.bias`, [8192], 'F32'],
            ...f32(layer, { 'ssm_dt_norm.weight': 256, 'ssm_b_norm.weight': 16, 'ssm_c_norm.weight': 16, ssm_d: 8192 }),
            [`blk.${layer}.ssm_a`, [16, 8192], 'F32'],
            [`blk.${layer}.ssm_out.weight`, [8192, 4096], 'Q4_K'],
          ],
  }),
}
