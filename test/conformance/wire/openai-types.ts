/** What OpenAI's API answers, as its published description says it: the client's types are generated from that. Schemas are made of them. */
export type { ChatCompletion, ChatCompletionChunk } from 'openai/resources/chat/completions'
export type { Completion } from 'openai/resources/completions'
export type { CreateEmbeddingResponse } from 'openai/resources/embeddings'
export type { Model } from 'openai/resources/models'
export type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses'
