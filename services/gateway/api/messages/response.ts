import Type from 'typebox'

const nullableInteger = Type.Union([Type.Integer(), Type.Null()])
const stopReason = Type.Union([Type.Enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'model_context_window_exceeded']), Type.Null()])
const stopSequence = Type.Union([Type.String(), Type.Null()])

const TextBlock = Type.Object({ type: Type.Literal('text'), text: Type.String(), citations: Type.Null() })
const ThinkingBlock = Type.Object({ type: Type.Literal('thinking'), thinking: Type.String(), signature: Type.Literal('', { description: 'Reasoning is not signed.' }) })
const ToolUseBlock = Type.Object({
  type: Type.Literal('tool_use'),
  id: Type.String(),
  name: Type.String(),
  caller: Type.Object({ type: Type.Literal('direct') }),
  input: Type.Unsafe<unknown>({ type: 'object' }),
})
const ContentBlock = Type.Union([TextBlock, ThinkingBlock, ToolUseBlock])

const usageFields = {
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  output_tokens_details: Type.Union([Type.Object({ thinking_tokens: Type.Integer() }), Type.Null()]),
  cache_creation_input_tokens: nullableInteger,
  cache_read_input_tokens: nullableInteger,
  server_tool_use: Type.Null(),
}

/** https://docs.claude.com/en/api/messages */
export const MessageObject = Type.Object({
  id: Type.String(),
  type: Type.Literal('message'),
  role: Type.Literal('assistant'),
  model: Type.String(),
  content: Type.Array(ContentBlock),
  container: Type.Null(),
  diagnostics: Type.Null(),
  stop_reason: stopReason,
  stop_sequence: stopSequence,
  stop_details: Type.Null(),
  usage: Type.Object({ ...usageFields, cache_creation: Type.Null(), inference_geo: Type.Null(), service_tier: Type.Literal('standard'), speed: Type.Null() }),
})

const delta = Type.Union([
  Type.Object({ type: Type.Literal('text_delta'), text: Type.String() }),
  Type.Object({ type: Type.Literal('thinking_delta'), thinking: Type.String() }),
  Type.Object({ type: Type.Literal('input_json_delta'), partial_json: Type.String() }),
])

export const MessagesError = Type.Object({
  type: Type.Literal('error'),
  error: Type.Object({ type: Type.String(), message: Type.String() }),
  request_id: Type.String(),
})

/** Data of one event of a stream, https://docs.claude.com/en/api/messages-streaming */
export const MessageStreamEvent = Type.Union([
  Type.Object({ type: Type.Literal('message_start'), message: MessageObject }),
  Type.Object({ type: Type.Literal('content_block_start'), index: Type.Integer(), content_block: ContentBlock }),
  Type.Object({ type: Type.Literal('content_block_delta'), index: Type.Integer(), delta }),
  Type.Object({ type: Type.Literal('content_block_stop'), index: Type.Integer() }),
  Type.Object({
    type: Type.Literal('message_delta'),
    delta: Type.Object({ stop_reason: stopReason, stop_sequence: stopSequence, stop_details: Type.Null(), container: Type.Null() }),
    usage: Type.Object(usageFields),
  }),
  Type.Object({ type: Type.Literal('message_stop') }),
  MessagesError,
])

/** https://docs.claude.com/en/api/messages-count-tokens */
export const TokenCount = Type.Object({ input_tokens: Type.Integer() })
