import Type from 'typebox'
import { bodyParser } from '../body.ts'
import { ignored, nullable, refused } from '../parameter.ts'

/** As Cohere and Jina have it, about. */
const mostDocuments = 1000
const Text = Type.String({ minLength: 1 })

export const RerankBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 256, description: 'Id of a served reranking model, as GET /v1/models tells.' }),
  query: Type.String({ minLength: 1, description: 'What the documents are held against.' }),
  documents: Type.Array(Type.Union([Text, Type.Object({ text: Text })]), {
    minItems: 1,
    maxItems: mostDocuments,
    description: `At most ${mostDocuments}, each as a text or as an object with a \`text\`. Query and document together must fit into the model's context.`,
  }),
  top_n: nullable(Type.Integer({ minimum: 1 }), 'Tell only so many of the best. Default: all.'),
  return_documents: nullable(Type.Boolean(), 'Whether each result holds its document. Default false.'),
  user: ignored(Type.String({ maxLength: 1024 }), 'Who asks is told by the API key.'),
  priority: ignored(Type.Integer(), 'Teams take turns.'),
  truncation: refused([null, false], 'a document is never cut.'),
  truncate_prompt_tokens: refused([null], 'a document is never cut.'),
  max_tokens_per_doc: refused([null], 'a document is never cut.'),
  max_chunks_per_doc: refused([null], 'a document is never cut.'),
  rank_fields: refused([null, ['text']], "only a document's `text` is looked at."),
  return_embeddings: refused([null, false], 'a score is all that the model makes.'),
  use_activation: refused([null, true], 'scores are from 0 to 1.'),
})

export interface RerankRequest {
  model: string
  query: string
  documents: string[]
  /** How many results are told, at most. */
  topN: number
  returnDocuments: boolean
  unknown: string[]
}

const parseBody = bodyParser(RerankBody)

/** Reads the body of POST /v1/rerank: https://docs.cohere.com/reference/rerank, https://api.jina.ai/redoc#tag/rerank. */
export function parseRerankRequest(json: unknown): RerankRequest {
  const { value: body, unknown } = parseBody(json)
  return {
    model: body.model,
    query: body.query,
    documents: body.documents.map((document) => (typeof document === 'string' ? document : document.text)),
    topN: body.top_n ?? body.documents.length,
    returnDocuments: body.return_documents ?? false,
    unknown,
  }
}
