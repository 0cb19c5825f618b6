import Type, { type TSchema } from 'typebox'
import { ChatBody } from './chat/request.ts'
import { ChatCompletion, ChatCompletionChunk } from './chat/response.ts'
import { CompletionBody } from './completions/request.ts'
import { Completion } from './completions/response.ts'
import { EmbeddingsBody } from './embeddings/request.ts'
import { EmbeddingList } from './embeddings/response.ts'
import { CountTokensBody, MessagesBody } from './messages/request.ts'
import { MessageObject, MessageStreamEvent, MessagesError, TokenCount } from './messages/response.ts'
import { Model, ModelList } from './models.ts'
import { RerankBody } from './rerank/request.ts'
import { Reranking } from './rerank/response.ts'
import { ResponsesBody } from './responses/request.ts'
import { ResponseObject, ResponseStreamEvent } from './responses/response.ts'
import { ApplyTemplateBody, DetokenizeBody, TokenizeBody } from './tokens/request.ts'
import { AppliedTemplate, Detokenized, Tokenized } from './tokens/response.ts'

/** What the OpenAPI document and docs/api.md tell of one operation. */
export interface DescribedOperation {
  method: 'get' | 'post'
  path: string
  summary: string
  /** Absent: it takes none. */
  body?: TSchema
  response: TSchema
  /** It answers with plain text. */
  plain?: true
  /** Data of one server-sent event; absent: it does not stream. */
  event?: TSchema
  error: TSchema
}

const OpenAiError = Type.Object({
  error: Type.Object({ message: Type.String(), type: Type.String(), param: Type.Union([Type.String(), Type.Null()]), code: Type.String() }),
})

export const describedOperations: readonly DescribedOperation[] = [
  { method: 'post', path: '/v1/chat/completions', summary: 'An answer to a conversation (OpenAI).', body: ChatBody, response: ChatCompletion, event: ChatCompletionChunk, error: OpenAiError },
  { method: 'post', path: '/v1/completions', summary: 'What a text goes on with (OpenAI).', body: CompletionBody, response: Completion, event: Completion, error: OpenAiError },
  { method: 'post', path: '/v1/responses', summary: "An answer in the shape of OpenAI's Responses API.", body: ResponsesBody, response: ResponseObject, event: ResponseStreamEvent, error: OpenAiError },
  { method: 'post', path: '/v1/messages', summary: "An answer in the shape of Anthropic's Messages API.", body: MessagesBody, response: MessageObject, event: MessageStreamEvent, error: MessagesError },
  { method: 'post', path: '/v1/messages/count_tokens', summary: 'How many tokens such a request has (Anthropic).', body: CountTokensBody, response: TokenCount, error: MessagesError },
  { method: 'post', path: '/v1/embeddings', summary: 'The embeddings of texts (OpenAI).', body: EmbeddingsBody, response: EmbeddingList, error: OpenAiError },
  { method: 'post', path: '/v1/rerank', summary: 'How well documents answer a query, best first (Jina, Cohere, vLLM). `/v2/rerank` and `/rerank` are the same.', body: RerankBody, response: Reranking, error: OpenAiError },
  { method: 'get', path: '/v1/models', summary: 'The models that the team may use.', response: ModelList, error: OpenAiError },
  { method: 'get', path: '/v1/models/{model}', summary: 'One of them.', response: Model, error: OpenAiError },
  { method: 'get', path: '/v1/receipts/{request_id}', summary: "What shows that a request of the team's own was recorded, as plain text: a C2SP tlog-proof (see above).", response: Type.String(), plain: true, error: OpenAiError },
  { method: 'post', path: '/tokenize', summary: 'The token ids of a text or a conversation (llama-server, vLLM).', body: TokenizeBody, response: Tokenized, error: OpenAiError },
  { method: 'post', path: '/detokenize', summary: 'The text of token ids (llama-server, vLLM).', body: DetokenizeBody, response: Detokenized, error: OpenAiError },
  { method: 'post', path: '/apply-template', summary: 'The prompt that a conversation becomes (llama-server).', body: ApplyTemplateBody, response: AppliedTemplate, error: OpenAiError },
]
