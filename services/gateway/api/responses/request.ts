import Type, { type Static } from 'typebox'
import type { Conversation, OutputFormat } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import type { ParsedRequest } from '../../endpoint.ts'
import type { Generation } from '../../generation.ts'
import { bodyParser } from '../body.ts'
import { extensionFields } from '../extensions.ts'
import { JsonObject } from '../format.ts'
import { ignored, nullable, refused } from '../parameter.ts'
import { chatOnlySamplingFields, samplingFields, samplingOf } from '../sampling.ts'
import { toolChoiceOf, toolsOf } from '../tools.ts'
import { responsesAnswer } from './answer.ts'
import { InputItem, messagesOf } from './input.ts'

const FunctionTool = Type.Object({
  type: Type.Literal('function'),
  name: Type.String(),
  description: nullable(Type.String(), 'Told to the model.'),
  parameters: nullable(JsonObject, 'JSON Schema of the arguments.'),
  strict: nullable(Type.Boolean(), 'Arguments keep to the schema, with any `tool_choice`.'),
  defer_loading: refused([null, false], 'there is no tool search.'),
  async: refused([null, false], 'calls end the answer.'),
  allowed_callers: refused([null], 'tools are called by the model alone.'),
  output_schema: ignored(Type.Unknown(), 'What a tool gives is taken as it is.'),
})

export const ResponsesBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 256, description: 'Id of a served model, as GET /v1/models tells.' }),
  input: Type.Union([Type.String(), Type.Array(InputItem, { minItems: 1, maxItems: 4096 })], { description: 'Text, or the items of a conversation.' }),
  instructions: nullable(Type.String(), 'A system message before all others.'),
  tools: nullable(Type.Array(FunctionTool, { maxItems: 128 }), 'Functions that the model may call; at most 128. Tools that a server runs are refused.'),
  tool_choice: nullable(
    Type.Union([Type.Enum(['none', 'auto', 'required']), Type.Object({ type: Type.Literal('function'), name: Type.String() })]),
    'Whether tools are called: `none`, `auto` (default), `required`, or a named one. The last two are guaranteed.',
  ),
  parallel_tool_calls: nullable(Type.Boolean(), 'Whether an answer may hold several calls. Default true.'),
  text: nullable(
    Type.Object({
      format: nullable(
        Type.Union([
          Type.Object({ type: Type.Enum(['text', 'json_object']) }),
          Type.Object({
            type: Type.Literal('json_schema'),
            schema: JsonObject,
            name: nullable(Type.String({ maxLength: 64 }), 'Means nothing here.'),
            description: nullable(Type.String(), 'Means nothing here.'),
            strict: nullable(Type.Boolean(), 'The schema is always kept to.'),
          }),
        ]),
        'What the answer must be; guaranteed by constraining the sampler.',
      ),
      verbosity: refused([null, 'medium'], 'no model here knows it.'),
    }),
    'What the text of the answer is.',
  ),
  temperature: samplingFields.temperature,
  top_p: samplingFields.top_p,
  max_output_tokens: nullable(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), 'Most tokens of the answer; absent: as many as fit the context.'),
  top_logprobs: nullable(Type.Integer({ minimum: 0, maximum: 20 }), 'Alternatives told with each token.'),
  include: nullable(
    Type.Array(Type.Enum(['message.output_text.logprobs', 'reasoning.encrypted_content'])),
    '`message.output_text.logprobs` tells log-probabilities; reasoning is never encrypted, it is told as it is.',
  ),
  reasoning: nullable(
    Type.Object({
      effort: nullable(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']), '`none` switches reasoning off where the chat template can; else told to templates that know it.'),
      summary: ignored(Type.String(), 'Reasoning is told as it is.'),
      generate_summary: ignored(Type.String(), 'Reasoning is told as it is.'),
      context: refused([null, 'auto'], 'the chat template says which reasoning it shows.'),
    }),
    'How the model reasons.',
  ),
  stream: nullable(Type.Boolean(), 'Server-sent events. Default false.'),
  stream_options: nullable(Type.Object({ include_obfuscation: refused([null, false], 'events are not padded.') }), 'Nothing of it changes anything here.'),
  prompt_cache_key: nullable(Type.String({ maxLength: 256 }), 'A hint at which requests share a prefix, inside the team only.'),
  metadata: nullable(Type.Unsafe<Record<string, string>>({ type: 'object', maxProperties: 16, additionalProperties: { type: 'string', maxLength: 512 } }), 'Told back in the answer, and not stored.'),
  user: ignored(Type.String(), 'Who asks is told by the API key.'),
  safety_identifier: ignored(Type.String(), 'Who asks is told by the API key.'),
  prompt_cache_retention: ignored(Type.Unknown(), 'Caches are kept as the operator says.'),
  prompt_cache_options: ignored(Type.Unknown(), 'Caches are kept as the operator says.'),
  service_tier: nullable(Type.Enum(['auto', 'default', 'flex']), 'flex: work that can wait; it has its turn when nothing else waits.'),
  truncation: refused([null, 'disabled'], 'a conversation is never cut.'),
  store: refused([null, false], 'nothing is stored.'),
  previous_response_id: refused([null], 'nothing is kept, so there is no response to go on from: send the whole conversation as input.'),
  conversation: refused([null], 'nothing is kept: send the whole conversation as input.'),
  prompt: refused([null], 'nothing is kept: send the prompt itself.'),
  background: refused([null, false], 'nothing is kept to be fetched later.'),
  max_tool_calls: refused([null], 'it bounds tools that a server runs, and there are none.'),
  context_management: refused([null], 'the conversation is never edited.'),
  moderation: refused([null], 'there is no moderation.'),
  access_programs: refused([null], 'there are none.'),
  image: refused([null], 'there are no images.'),
  max_tokens: refused([null], 'use max_output_tokens.'),
  max_completion_tokens: refused([null], 'use max_output_tokens.'),
  response_format: refused([null], 'use text.format.'),
  reasoning_effort: refused([null], 'use reasoning.effort.'),
  logprobs: refused([null, false], 'use include and top_logprobs.'),
  stop: refused([null], 'this API has no stop sequences. Use POST /v1/chat/completions.'),
  top_k: refused([null, 0, -1], 'this API has no such parameter. Use POST /v1/chat/completions.'),
  ...chatOnlySamplingFields,
  ...extensionFields,
})

export type ResponsesRequestBody = Static<typeof ResponsesBody>

const parseBody = bodyParser(ResponsesBody)

/** Reads the body of POST /v1/responses, https://platform.openai.com/docs/api-reference/responses/create. */
export function parseResponsesRequest(json: unknown): ParsedRequest {
  const { value: body, unknown } = parseBody(json)
  const { temperature = null, top_p = null } = body
  const wantsLogprobs = body.include?.includes('message.output_text.logprobs') ?? false
  const generation: Generation = {
    model: body.model,
    prompt: { $case: 'conversation', value: conversationOf(body) },
    format: formatOf(body),
    maxTokens: body.max_output_tokens ?? 0,
    choices: 1,
    sampling: samplingOf({ temperature, top_p }),
    stop: [],
    topLogprobs: wantsLogprobs || (body.top_logprobs ?? 0) > 0 ? (body.top_logprobs ?? 0) : undefined,
    stream: body.stream ?? false,
    wantPromptText: false,
    cacheKey: body.prompt_cache_key ?? '',
    batch: body.service_tier === 'flex',
  }
  return { generation, unknown, answer: (exchange) => responsesAnswer(exchange, body) }
}

function conversationOf(body: ResponsesRequestBody): Conversation {
  const tools = toolsOf(
    (body.tools ?? []).map(({ name, description, parameters, strict }, index) => ({
      name,
      param: `tools[${index}]`,
      ...(description == null ? {} : { description }),
      ...(parameters == null ? {} : { parameters }),
      ...(strict == null ? {} : { strict }),
    })),
  )
  const input = messagesOf(typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input)
  const system = { role: 'system', content: body.instructions ?? '', reasoning: '', toolCalls: [], toolCallId: '', name: '' }
  const effort = body.reasoning?.effort ?? ''
  return {
    messages: body.instructions == null ? input : [system, ...input],
    tools,
    ...toolChoiceOf(typeof body.tool_choice === 'object' && body.tool_choice !== null ? { name: body.tool_choice.name, param: 'tool_choice.name' } : (body.tool_choice ?? 'auto'), tools),
    singleToolCall: body.parallel_tool_calls === false,
    templateKwargs: '',
    ...(effort === '' ? {} : { reasoning: effort !== 'none' }),
    reasoningEffort: effort === 'none' ? '' : effort,
    addGenerationPrompt: true,
  }
}

function formatOf({ text }: ResponsesRequestBody): OutputFormat | undefined {
  const format = text?.format
  if (format?.type === 'json_object') return { format: { $case: 'jsonObject', value: true }, param: 'text.format' }
  if (format?.type !== 'json_schema') return undefined
  return { format: { $case: 'jsonSchema', value: JSON.stringify(format.schema) }, param: 'text.format.schema' }
}
