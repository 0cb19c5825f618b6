import Type, { type Static } from 'typebox'
import type { Conversation } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import { bodyParser, invalid } from '../body.ts'
import { ChatBody, conversationOf } from '../chat/request.ts'
import { nullable, refused } from '../parameter.ts'

const model = nullable(Type.String({ minLength: 1, maxLength: 256 }), 'Id of a served model; may be left out where only one is served.')
const conversationFields = {
  messages: Type.Optional(ChatBody.properties.messages),
  tools: ChatBody.properties.tools,
  tool_choice: ChatBody.properties.tool_choice,
  chat_template_kwargs: ChatBody.properties.chat_template_kwargs,
  reasoning_effort: ChatBody.properties.reasoning_effort,
  add_generation_prompt: ChatBody.properties.add_generation_prompt,
}

/** POST /tokenize, as llama-server (`content`) and vLLM (`prompt`, or `messages`) have it. */
export const TokenizeBody = Type.Object({
  model,
  content: nullable(Type.String(), 'The text, as llama-server names it.'),
  prompt: nullable(Type.String(), 'The text, as vLLM names it.'),
  ...conversationFields,
  add_special: nullable(Type.Boolean(), "Put the tokens around the text that the model wants there. Default false, as llama-server's."),
  add_special_tokens: nullable(Type.Boolean(), "vLLM's name of `add_special`; with `prompt`, the default is true, as vLLM's."),
  parse_special: nullable(Type.Boolean(), 'Special tokens spelt in the text become those tokens. Default true.'),
  with_pieces: nullable(Type.Boolean(), "Each token with its text, as llama-server's."),
  return_token_strs: nullable(Type.Boolean(), "The tokens' texts in `token_strs`, as vLLM's."),
  continue_final_message: refused([null, false], "the last message can't be continued; a new turn begins."),
})

/** POST /detokenize. */
export const DetokenizeBody = Type.Object({
  model,
  tokens: Type.Array(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }), { maxItems: 131_072, description: 'Token ids; at most 131,072.' }),
})

/** POST /apply-template. */
export const ApplyTemplateBody = Type.Object({ model, ...conversationFields, messages: ChatBody.properties.messages })

export type TokenizeFields = Static<typeof TokenizeBody>

export const parseDetokenizeBody = bodyParser(DetokenizeBody)
export const parseApplyTemplateBody = bodyParser(ApplyTemplateBody)

const parseBody = bodyParser(TokenizeBody)

export interface TokenizeRequest {
  model: string | undefined
  input: { $case: 'text'; text: string; addSpecial: boolean; parseSpecial: boolean } | { $case: 'conversation'; conversation: Conversation }
  withPieces: boolean
  withStrings: boolean
  unknown: string[]
}

export function parseTokenizeRequest(json: unknown): TokenizeRequest {
  const { value: body, unknown } = parseBody(json)
  return { model: body.model ?? undefined, input: inputOf(body), withPieces: body.with_pieces ?? false, withStrings: body.return_token_strs ?? false, unknown }
}

function inputOf(body: TokenizeFields): TokenizeRequest['input'] {
  const given = [body.content, body.prompt, body.messages].filter((value) => value != null)
  if (given.length !== 1) throw invalid({ param: 'content', message: "Send one of 'content', 'prompt' and 'messages'." })
  if (body.messages !== undefined) return { $case: 'conversation', conversation: conversationFrom({ ...body, messages: body.messages }) }
  return {
    $case: 'text',
    text: body.content ?? body.prompt ?? '',
    addSpecial: body.add_special ?? body.add_special_tokens ?? body.prompt != null,
    parseSpecial: body.parse_special ?? true,
  }
}

/** The conversation of a body that has no more of a chat request than its prompt. */
export function conversationFrom(body: Pick<Static<typeof ApplyTemplateBody>, Exclude<keyof typeof conversationFields, 'messages'> | 'messages'>): Conversation {
  return conversationOf({ model: '', ...body })
}
