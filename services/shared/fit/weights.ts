import type { ModelFile } from '../gguf/model-file.ts'

/** Bytes of a model's weights by where they lie. */
export interface Weights {
  /** Token embeddings and the like: always in RAM. */
  readonly input: number
  readonly layers: readonly number[]
  /** What follows the layers, without `tiedOutput`. */
  readonly output: number
  /** The embedding matrix, when it is the output matrix, too: a GPU has a copy of its own. */
  readonly tiedOutput: number
  /** llama.cpp holds that matrix a second time in RAM in another order, which its CPU code multiplies faster. */
  readonly tiedIsReordered: boolean
  readonly total: number
  /** The largest tensor of the layers. */
  readonly largest: number
  readonly parameters: number
}

/** Types that ggml stores anew for the CPU (ggml-cpu/repack.cpp); a table that rows are read from stays as it is. */
const reordered: ReadonlySet<string> = new Set(['Q4_0', 'Q4_K', 'Q2_K', 'IQ4_NL', 'MXFP4'])

const input = /^(token_embd|position_embd|token_types|token_embd_norm|per_layer_token_embd)\b/

export function weightsOf({ tensors }: Pick<ModelFile, 'tensors'>, layerCount: number): Weights {
  const layers = Array.from({ length: layerCount }, () => 0)
  let inputBytes = 0
  let outputBytes = 0
  let largest = 0
  let parameters = 0
  for (const { name, bytes, elements } of tensors) {
    parameters += elements
    const layer = /^blk\.(\d{1,4})\./.exec(name)?.[1]
    if (layer !== undefined && Number(layer) < layerCount) {
      layers[Number(layer)] = (layers[Number(layer)] ?? 0) + bytes
      largest = Math.max(largest, bytes)
    } else if (input.test(name)) inputBytes += bytes
    else outputBytes += bytes
  }
  const embeddings = tensors.find(({ name }) => name === 'token_embd.weight')
  const tied = embeddings !== undefined && tensors.some(({ name }) => name.startsWith('output_norm')) && !tensors.some(({ name }) => name === 'output.weight')
  return {
    input: inputBytes,
    layers,
    output: outputBytes,
    tiedOutput: tied ? embeddings.bytes : 0,
    tiedIsReordered: tied && reordered.has(embeddings.type),
    total: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    largest,
    parameters,
  }
}
