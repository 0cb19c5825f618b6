import Type, { type Static } from 'typebox'
import type { Conversation, OutputFormat } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import type { ParsedRequest } from '../../endpoint.ts'
import type { Generation } from '../../generation.ts'
import { bodyParser, unsupported } from '../body.ts'
import { extensionFields } from '../extensions.ts'
import { JsonObject } from '../format.ts'
import { ignored, nullable, refused } from '../parameter.ts'
import { chatOnlySamplingFields, samplingFields, samplingOf } from '../sampling.ts'
import { toolChoiceOf, toolsOf } from '../tools.ts'
import { messagesAnswer } from './answer.ts'
import { chatMessages, Message, TextBlock } from './content.ts'

const display = nullable(Type.Enum(['summarized', 'omitted']), 'Reasoning is told as it is, or, with `omitted`, not at all.')

/** What both operations have: everything that makes the prompt. */
const promptFields = {
  model: Type.String({ minLength: 1, maxLength: 256, description: 'Id of a served model, as GET /v1/models tells.' }),
  messages: Type.Array(Message, { minItems: 1, maxItems: 4096, description: 'The conversation; the last message is not the assistant\'s.' }),
  system: nullable(Type.Union([Type.String(), Type.Array(TextBlock)]), 'Text, or blocks of it.'),
  tools: nullable(
    Type.Array(
      Type.Object({
        type: nullable(Type.Literal('custom'), 'Tools that a server runs are refused.'),
        name: Type.String(),
        description: nullable(Type.String(), 'Told to the model.'),
        input_schema: JsonObject,
        strict: nullable(Type.Boolean(), 'Arguments keep to the schema, with any `tool_choice`.'),
        cache_control: ignored(Type.Unknown(), 'A hint for caches.'),
        eager_input_streaming: ignored(Type.Unknown(), 'Arguments always stream.'),
        input_examples: refused([null, []], 'put examples into the description.'),
        defer_loading: refused([null, false], 'there is no tool search.'),
        allowed_callers: refused([null], 'tools are called by the model alone.'),
      }),
      { maxItems: 128 },
    ),
    'Functions that the model may call; at most 128.',
  ),
  tool_choice: nullable(
    Type.Union([
      Type.Object({ type: Type.Enum(['auto', 'any', 'none']), disable_parallel_tool_use: nullable(Type.Boolean(), 'At most one call.') }),
      Type.Object({ type: Type.Literal('tool'), name: Type.String(), disable_parallel_tool_use: nullable(Type.Boolean(), 'At most one call.') }),
    ]),
    'Whether tools are called. `any` and `tool` are guaranteed.',
  ),
  thinking: nullable(
    Type.Union([
      Type.Object({ type: Type.Literal('enabled'), budget_tokens: Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), display }),
      Type.Object({ type: Type.Literal('adaptive'), display }),
      Type.Object({ type: Type.Enum(['disabled', 'between_tools']) }),
    ]),
    'Whether the model reasons before it answers, and how many tokens at most.',
  ),
  output_config: nullable(
    Type.Object({
      effort: nullable(Type.Enum(['low', 'medium', 'high', 'xhigh', 'max']), 'Told to templates that know it.'),
      format: nullable(Type.Object({ type: Type.Literal('json_schema'), schema: JsonObject }), 'JSON Schema that the answer keeps to; guaranteed.'),
      task_budget: refused([null], 'use max_tokens.'),
    }),
    'What the answer must be.',
  ),
  output_format: refused([null], 'use output_config.format.'),
  cache_control: ignored(Type.Unknown(), 'A hint for caches.'),
  context_management: refused([null], 'the conversation is never edited.'),
  mcp_servers: refused([null, []], 'nothing leaves: there are no remote tools.'),
}

export const CountTokensBody = Type.Object(promptFields)

export const MessagesBody = Type.Object({
  ...promptFields,
  max_tokens: Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1, description: 'Most tokens of the answer.' }),
  stop_sequences: nullable(Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: 16 }), 'The answer ends before the first of these texts; at most 16. Calls of tools are not cut by them.'),
  temperature: samplingFields.temperature,
  top_p: samplingFields.top_p,
  top_k: samplingFields.top_k,
  stream: nullable(Type.Boolean(), 'Server-sent events. Default false.'),
  metadata: ignored(JsonObject, 'Who asks is told by the API key; nothing is stored.'),
  service_tier: ignored(Type.Enum(['auto', 'standard_only']), 'There is one tier.'),
  speed: refused([null, 'standard'], 'there is one speed.'),
  container: refused([null], 'there are no containers.'),
  diagnostics: refused([null], 'there are none.'),
  inference_geo: refused([null], 'everything stays here.'),
  fallbacks: refused([null], 'a model that is not there is an error.'),
  thread: refused([null], 'nothing is kept: send the whole conversation as messages.'),
  compaction: refused([null], 'the conversation is never edited.'),
  max_completion_tokens: refused([null], 'use max_tokens.'),
  stop: refused([null], 'use stop_sequences.'),
  response_format: refused([null], 'use output_config.format.'),
  reasoning_effort: refused([null], 'use output_config.effort.'),
  parallel_tool_calls: refused([null, true], 'use tool_choice.disable_parallel_tool_use.'),
  user_profile_id: ignored(Type.String(), 'Who asks is told by the API key.'),
  workspace_id: ignored(Type.String(), 'Who asks is told by the API key.'),
  ...chatOnlySamplingFields,
  ...extensionFields,
})

const parseMessages = bodyParser(MessagesBody)
const parseCount = bodyParser(CountTokensBody)

/** Reads the body of POST /v1/messages, https://docs.claude.com/en/api/messages. */
export function parseMessagesRequest(json: unknown): ParsedRequest {
  const { value: body, unknown } = parseMessages(json)
  const last = body.messages.length - 1
  if (body.messages[last]?.role === 'assistant') {
    throw unsupported(`messages[${last}]`, `'messages[${last}]' is the assistant's: an answer can't be begun for it. End with a message of the user.`)
  }
  const { temperature = null, top_p = null, top_k = null } = body
  const generation: Generation = {
    ...promptOf(body),
    maxTokens: body.max_tokens,
    choices: 1,
    sampling: samplingOf({ temperature, top_p, top_k }),
    stop: body.stop_sequences ?? [],
    topLogprobs: undefined,
    stream: body.stream ?? false,
    wantPromptText: false,
    cacheKey: '',
    batch: false,
  }
  const hidesThinking = body.thinking != null && 'display' in body.thinking && body.thinking.display === 'omitted'
  return { generation, unknown, answer: (exchange) => messagesAnswer(exchange, generation, hidesThinking) }
}

/** Reads the body of POST /v1/messages/count_tokens. */
export function parseCountTokens(json: unknown): Pick<ParsedRequest, 'unknown'> & { generation: Pick<Generation, 'model' | 'prompt' | 'format' | 'maxTokens' | 'wantPromptText'> } {
  const { value: body, unknown } = parseCount(json)
  return { generation: { ...promptOf(body), maxTokens: 0, wantPromptText: false }, unknown }
}

function promptOf(body: Static<typeof CountTokensBody>): Pick<Generation, 'model' | 'prompt' | 'format'> {
  return { model: body.model, prompt: { $case: 'conversation', value: conversationOf(body) }, format: formatOf(body) }
}

function conversationOf(body: Static<typeof CountTokensBody>): Conversation {
  const tools = toolsOf(
    (body.tools ?? []).map(({ name, description, input_schema: parameters, strict }, index) => ({
      name,
      parameters,
      param: `tools[${index}]`,
      schemaParam: `tools[${index}].input_schema`,
      ...(description == null ? {} : { description }),
      ...(strict == null ? {} : { strict }),
    })),
  )
  const messages = chatMessages(body.messages)
  const system = typeof body.system === 'string' ? body.system : (body.system ?? []).map(({ text }) => text).join('\n')
  const { thinking } = body
  return {
    messages: system === '' ? messages : [{ role: 'system', content: system, reasoning: '', toolCalls: [], toolCallId: '', name: '' }, ...messages],
    tools,
    ...toolChoiceOf(choiceOf(body), tools),
    singleToolCall: body.tool_choice?.disable_parallel_tool_use ?? false,
    templateKwargs: '',
    ...(thinking == null ? {} : { reasoning: thinking.type !== 'disabled' }),
    reasoningEffort: body.output_config?.effort ?? '',
    ...(thinking?.type === 'enabled' ? { reasoningBudget: thinking.budget_tokens } : {}),
    // No answer follows what ends with one; it can be counted all the same.
    addGenerationPrompt: body.messages.at(-1)?.role !== 'assistant',
  }
}

function choiceOf({ tool_choice: choice }: Static<typeof CountTokensBody>): Parameters<typeof toolChoiceOf>[0] {
  if (choice == null) return 'auto'
  if (choice.type === 'tool') return { name: choice.name, param: 'tool_choice.name' }
  return choice.type === 'any' ? 'required' : choice.type
}

function formatOf({ output_config: config }: Static<typeof CountTokensBody>): OutputFormat | undefined {
  if (config?.format == null) return undefined
  return { format: { $case: 'jsonSchema', value: JSON.stringify(config.format.schema) }, param: 'output_config.format.schema' }
}
