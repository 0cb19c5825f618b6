import Type from 'typebox'

const TokenLogprob = Type.Object({ token: Type.String(), logprob: Type.Number(), bytes: Type.Array(Type.Integer({ minimum: 0, maximum: 255 })) })

export const ChatLogprobs = Type.Object({
  content: Type.Array(Type.Object({ ...TokenLogprob.properties, top_logprobs: Type.Array(TokenLogprob) })),
  refusal: Type.Null(),
})

export const Usage = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  prompt_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
  completion_tokens_details: Type.Optional(Type.Object({ reasoning_tokens: Type.Integer() })),
})

const finishReason = Type.Enum(['stop', 'length', 'tool_calls'])

/** https://platform.openai.com/docs/api-reference/chat/object */
export const ChatCompletion = Type.Object({
  id: Type.String(),
  object: Type.Literal('chat.completion'),
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      message: Type.Object({
        role: Type.Literal('assistant'),
        content: Type.Union([Type.String(), Type.Null()]),
        refusal: Type.Null(),
        reasoning_content: Type.Optional(Type.String({ description: 'What the model reasoned before it answered.' })),
        tool_calls: Type.Optional(
          Type.Array(
            Type.Object({ id: Type.String(), type: Type.Literal('function'), function: Type.Object({ name: Type.String(), arguments: Type.String({ description: 'JSON text.' }) }) }),
          ),
        ),
      }),
      logprobs: Type.Union([ChatLogprobs, Type.Null()]),
      finish_reason: finishReason,
    }),
  ),
  usage: Usage,
})

/** One event of a stream, https://platform.openai.com/docs/api-reference/chat-streaming; the last is "[DONE]". */
export const ChatCompletionChunk = Type.Object({
  id: Type.String(),
  object: Type.Literal('chat.completion.chunk'),
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      delta: Type.Object({
        role: Type.Optional(Type.Literal('assistant')),
        content: Type.Optional(Type.String()),
        refusal: Type.Optional(Type.Null()),
        reasoning_content: Type.Optional(Type.String()),
        tool_calls: Type.Optional(
          Type.Array(
            Type.Object({
              index: Type.Integer(),
              id: Type.Optional(Type.String()),
              type: Type.Optional(Type.Literal('function')),
              function: Type.Object({ name: Type.Optional(Type.String()), arguments: Type.String() }),
            }),
          ),
        ),
      }),
      logprobs: Type.Union([ChatLogprobs, Type.Null()]),
      finish_reason: Type.Union([finishReason, Type.Null()]),
    }),
  ),
  usage: Type.Optional(Type.Union([Usage, Type.Null()])),
})
