import Type from 'typebox'
import type { RerankRequest } from './request.ts'

export const Reranking = Type.Object({
  id: Type.String(),
  object: Type.Literal('list'),
  model: Type.String(),
  results: Type.Array(
    Type.Object({
      index: Type.Integer({ description: 'Of the document in the request.' }),
      relevance_score: Type.Number({ minimum: 0, maximum: 1 }),
      document: Type.Optional(Type.Object({ text: Type.String() })),
    }),
    { description: 'Best first.' },
  ),
  usage: Type.Object({ prompt_tokens: Type.Integer(), total_tokens: Type.Integer() }),
})

/** The answer's JSON; of two documents with the same score the earlier comes first. */
export function reranking({ model, documents, topN, returnDocuments }: RerankRequest, scores: readonly number[], tokens: number, requestId: string): string {
  const results = scores
    .map((score, index) => ({ index, relevance_score: score, ...(returnDocuments ? { document: { text: documents[index] ?? '' } } : {}) }))
    .toSorted((a, b) => b.relevance_score - a.relevance_score)
    .slice(0, topN)
  return JSON.stringify({ id: `rerank-${requestId}`, object: 'list', model, results, usage: { prompt_tokens: tokens, total_tokens: tokens } })
}
