import type { Hyperparameters } from './metadata.ts'

const float = 4

/** State that a layer keeps of a sequence, in bytes: llama_hparams::n_embd_r and n_embd_s of llama.cpp, in 32 bits. */
export function recurrentBytes({ number }: Hyperparameters, width: number, heads: number): number {
  const of = (name: string): number => number(name) ?? 0
  const rwkv = of('wkv.head_size')
  if (rwkv > 0) return ((number('token_shift_count') ?? 2) * width + width * rwkv) * float
  const kda = of('kda.head_dim')
  const kernel = of('ssm.conv_kernel')
  if (kda > 0) return (3 * (kernel > 0 ? kernel - 1 : 3) * heads * kda + kda * kda * heads) * float
  const inner = of('ssm.inner_size')
  const state = of('ssm.state_size')
  const shortConvolution = of('shortconv.l_cache')
  const history = shortConvolution > 0 ? width * (shortConvolution - 1) : Math.max(0, kernel - 1) * (inner + 2 * of('ssm.group_count') * state)
  return (history + state * inner) * float
}
