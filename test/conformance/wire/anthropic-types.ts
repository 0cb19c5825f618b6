/** What Anthropic's API answers, as its client's types have it. Schemas are made of them. */
export type { Message, MessageTokensCount, RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages'
export type { ErrorResponse } from '@anthropic-ai/sdk/resources/shared'
