import Type from 'typebox'
import { Usage } from '../chat/response.ts'

/** https://platform.openai.com/docs/api-reference/completions/object; the events of a stream have the same shape. */
export const Completion = Type.Object({
  id: Type.String(),
  object: Type.Literal('text_completion'),
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      text: Type.String(),
      logprobs: Type.Union([
        Type.Object({
          tokens: Type.Array(Type.String()),
          token_logprobs: Type.Array(Type.Number()),
          top_logprobs: Type.Array(Type.Unsafe<Record<string, number>>({ type: 'object', additionalProperties: { type: 'number' } })),
          text_offset: Type.Array(Type.Integer()),
        }),
        Type.Null(),
      ]),
      finish_reason: Type.Union([Type.Enum(['stop', 'length']), Type.Null()]),
    }),
  ),
  usage: Type.Optional(Type.Union([Usage, Type.Null()])),
})
