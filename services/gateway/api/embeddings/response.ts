import Type from 'typebox'
import { ServiceError } from '../../../shared/errors.ts'
import type { EmbeddingsRequest } from './request.ts'

/** https://platform.openai.com/docs/api-reference/embeddings/object */
export function embeddingList({ model, dimensions, base64 }: EmbeddingsRequest, vectors: readonly (readonly number[])[], tokens: number): string {
  const data = vectors.map((vector, index) => {
    const cut = dimensions === undefined ? vector : shortened(vector, dimensions)
    return { object: 'embedding', index, embedding: base64 ? Buffer.from(Float32Array.from(cut).buffer).toString('base64') : cut }
  })
  return JSON.stringify({ object: 'list', data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } })
}

/** The first numbers, of length 1 again. Throws INVALID_ARGUMENT when there are not so many. */
export function shortened(vector: readonly number[], dimensions: number): number[] {
  if (dimensions > vector.length) {
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', `'dimensions' must be at most ${vector.length}, the length of this model's embeddings.`, { param: 'dimensions' })
  }
  const first = vector.slice(0, dimensions)
  const length = Math.hypot(...first)
  return length === 0 ? first : first.map((value) => value / length)
}

/** https://platform.openai.com/docs/api-reference/embeddings/create */
export const EmbeddingList = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Object({ object: Type.Literal('embedding'), index: Type.Integer(), embedding: Type.Union([Type.Array(Type.Number()), Type.String({ description: 'Base64.' })]) }),
  ),
  model: Type.String(),
  usage: Type.Object({ prompt_tokens: Type.Integer(), total_tokens: Type.Integer() }),
})
