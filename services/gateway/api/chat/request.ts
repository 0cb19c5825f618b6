import Type, { type Static } from 'typebox'
import type { ChatMessage, Conversation } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import type { ParsedRequest } from '../../endpoint.ts'
import type { Generation } from '../../generation.ts'
import { bodyParser, invalid, unsupported } from '../body.ts'
import { extensionFields } from '../extensions.ts'
import { formatFields, formatOf, JsonObject } from '../format.ts'
import { ignored, nullable, refused } from '../parameter.ts'
import { oneOf, samplingFields, samplingOf, stopField, stopsOf } from '../sampling.ts'
import { toolChoiceOf, toolsOf } from '../tools.ts'
import { includeUsageOf, streamOptionsField } from '../stream-options.ts'
import { chatAnswer } from './answer.ts'

const maxMessages = 4096
const mostChoices = 16
const tokenCount = Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 })
const budget = Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 })

const Part = Type.Union([
  Type.Object({ type: Type.Literal('text'), text: Type.String(), prompt_cache_breakpoint: ignored(Type.Unknown(), 'A hint for caches.') }),
  Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() }),
])

const ToolCall = Type.Object({
  id: Type.String({ maxLength: 256 }),
  type: Type.Literal('function'),
  function: Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }), arguments: Type.String() }),
  index: ignored(Type.Unknown(), 'As a stream has it.'),
})

const Message = Type.Object({
  role: Type.Enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: nullable(Type.Union([Type.String(), Type.Array(Part, { minItems: 1 })]), 'Text, or parts of it, which are joined by line feeds. May be absent where an assistant called tools.'),
  name: nullable(Type.String({ maxLength: 256 }), 'Name of the participant, for templates that show it.'),
  tool_calls: nullable(Type.Array(ToolCall, { maxItems: 128 }), "The assistant's calls."),
  tool_call_id: nullable(Type.String({ maxLength: 256 }), "Of a tool's message: the call that it answers."),
  reasoning_content: nullable(Type.String(), 'What the assistant reasoned before it answered; templates show it as far as their models want.'),
  reasoning: nullable(Type.String(), "vLLM's name of `reasoning_content`."),
  refusal: nullable(Type.String(), "The assistant's refusal; its text if there is no content."),
  annotations: ignored(Type.Unknown(), 'As an answer has it.'),
  audio: refused([null], 'there is no audio.'),
  function_call: refused([null], 'use tool_calls.'),
})

export const ChatBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 256, description: 'Id of a served model, as GET /v1/models tells.' }),
  messages: Type.Array(Message, { minItems: 1, maxItems: maxMessages, description: 'The conversation.' }),
  ...samplingFields,
  max_tokens: nullable(tokenCount, 'Most tokens of the answer; absent: as many as fit the context.'),
  max_completion_tokens: nullable(tokenCount, 'The newer name of `max_tokens`; goes before it.'),
  stop: stopField,
  n: nullable(Type.Integer({ minimum: 1, maximum: mostChoices }), `Answers to give, at most ${mostChoices}. Default 1.`),
  stream: nullable(Type.Boolean(), 'Server-sent events. Default false.'),
  stream_options: streamOptionsField,
  logprobs: nullable(Type.Boolean(), "Tell each token's log-probability. Default false."),
  top_logprobs: nullable(Type.Integer({ minimum: 0, maximum: 20 }), 'Alternatives told with each token; needs `logprobs`.'),
  ...formatFields,
  tools: nullable(
    Type.Array(
      Type.Object({
        type: Type.Literal('function'),
        function: Type.Object({
          name: Type.String(),
          description: nullable(Type.String(), 'Told to the model.'),
          parameters: nullable(JsonObject, 'JSON Schema of the arguments.'),
          strict: nullable(Type.Boolean(), 'Arguments keep to the schema, with any `tool_choice`.'),
        }),
      }),
      { maxItems: 128 },
    ),
    'Functions that the model may call; at most 128.',
  ),
  tool_choice: nullable(
    Type.Union([
      Type.Enum(['none', 'auto', 'required']),
      Type.Object({ type: Type.Literal('function'), function: Type.Object({ name: Type.String() }) }),
    ]),
    'Whether tools are called: `none`, `auto` (default), `required`, or a named one. The last two are guaranteed.',
  ),
  parallel_tool_calls: nullable(Type.Boolean(), 'Whether an answer may hold several calls. Default true.'),
  reasoning_effort: nullable(
    Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']),
    '`none` switches reasoning off where the chat template can; else told to templates that know it.',
  ),
  thinking_budget_tokens: nullable(budget, 'Most tokens of reasoning; then the answer is begun. -1: no bound.'),
  reasoning_budget_tokens: nullable(budget, 'Another name of `thinking_budget_tokens`.'),
  chat_template_kwargs: nullable(JsonObject, 'Further variables for the chat template, such as `enable_thinking`.'),
  add_generation_prompt: nullable(Type.Boolean(), "False: the prompt ends with the last message, without the beginning of the assistant's turn. Default true."),
  prompt_cache_key: nullable(Type.String({ maxLength: 256 }), 'A hint at which requests share a prefix, inside the team only.'),
  user: ignored(Type.String({ maxLength: 1024 }), 'Who asks is told by the API key.'),
  metadata: ignored(JsonObject, 'Nothing is stored.'),
  safety_identifier: ignored(Type.String(), 'Who asks is told by the API key.'),
  prompt_cache_retention: ignored(Type.Unknown(), 'Caches are kept as the operator says.'),
  prompt_cache_options: ignored(Type.Unknown(), 'Caches are kept as the operator says.'),
  store: refused([null, false], 'nothing is stored.'),
  modalities: nullable(Type.Array(Type.Literal('text')), 'Only text.'),
  service_tier: nullable(Type.Enum(['auto', 'default', 'flex']), 'flex: work that can wait; it has its turn when nothing else waits.'),
  verbosity: refused([null, 'medium'], 'no model here knows it.'),
  audio: refused([null], 'there is no audio.'),
  prediction: refused([null], 'there is no predicted output.'),
  web_search_options: refused([null], 'nothing leaves: there is no web search.'),
  moderation: refused([null], 'there is no moderation.'),
  functions: refused([null, []], 'use tools.'),
  best_of: refused([null, 1], 'use n.'),
  chat_template: refused([null], "the model's own chat template is used."),
  documents: refused([null, []], 'put them into a message.'),
  mm_processor_kwargs: refused([null], 'there are no images.'),
  grammar_lazy: refused([null, false], 'a grammar holds from the beginning of the answer.'),
  grammar_triggers: refused([null, []], 'a grammar holds from the beginning of the answer.'),
  function_call: refused([null, 'auto', 'none'], 'use tool_choice.'),
  echo: refused([null, false], 'a prompt is not repeated in a chat.'),
  reasoning_format: refused([null, 'auto', 'deepseek'], 'reasoning is told in reasoning_content.'),
  include_reasoning: refused([null, true], 'reasoning is told in reasoning_content.'),
  n_predict: refused([null, -1], 'use max_tokens.'),
  ...extensionFields,
})

type Body = Static<typeof ChatBody>

const parseBody = bodyParser(ChatBody)

/** Reads the body of POST /v1/chat/completions, https://platform.openai.com/docs/api-reference/chat/create. */
export function parseChatRequest(json: unknown): ParsedRequest {
  const { value: body, unknown } = parseBody(json)
  const generation: Generation = {
    model: body.model,
    prompt: { $case: 'conversation', value: conversationOf(body) },
    format: formatOf(body),
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? 0,
    choices: body.n ?? 1,
    sampling: samplingOf(body),
    stop: stopsOf(body.stop),
    topLogprobs: topLogprobsOf(body),
    stream: body.stream ?? false,
    wantPromptText: false,
    cacheKey: body.prompt_cache_key ?? '',
    batch: body.service_tier === 'flex',
  }
  const includeUsage = includeUsageOf(body)
  return { generation, unknown, answer: (exchange) => chatAnswer(exchange, generation, includeUsage) }
}

/** The part of a chat request that a prompt is made from. */
export function conversationOf(body: Body): Conversation {
  const tools = toolsOf(
    (body.tools ?? []).map(({ function: { name, description, parameters, strict } }, index) => ({
      name,
      param: `tools[${index}].function`,
      ...(description == null ? {} : { description }),
      ...(parameters == null ? {} : { parameters }),
      ...(strict == null ? {} : { strict }),
    })),
  )
  const effort = body.reasoning_effort ?? ''
  const reasoningBudget = oneOf(body, 'thinking_budget_tokens', 'reasoning_budget_tokens') ?? -1
  return {
    messages: body.messages.map(messageOf),
    tools,
    ...toolChoiceOf(typeof body.tool_choice === 'object' && body.tool_choice !== null ? { name: body.tool_choice.function.name, param: 'tool_choice.function.name' } : (body.tool_choice ?? 'auto'), tools),
    singleToolCall: body.parallel_tool_calls === false,
    templateKwargs: body.chat_template_kwargs == null ? '' : JSON.stringify(body.chat_template_kwargs),
    ...(effort === '' ? {} : { reasoning: effort !== 'none' }),
    reasoningEffort: effort === 'none' ? '' : effort,
    ...(reasoningBudget < 0 ? {} : { reasoningBudget }),
    addGenerationPrompt: body.add_generation_prompt ?? true,
  }
}

function messageOf(message: Body['messages'][number], index: number): ChatMessage {
  const { role, content, name, tool_calls: calls, tool_call_id: toolCallId, refusal } = message
  const place = `messages[${index}]`
  if (content == null && !(role === 'assistant' && ((calls != null && calls.length > 0) || refusal != null))) {
    throw invalid({ param: `${place}.content`, message: `'${place}.content' is missing.` })
  }
  if (role !== 'assistant' && calls != null && calls.length > 0) {
    throw invalid({ param: `${place}.tool_calls`, message: `'${place}.tool_calls' is only allowed in a message of the role "assistant".` })
  }
  if (role === 'tool' && toolCallId == null) {
    throw invalid({ param: `${place}.tool_call_id`, message: `'${place}.tool_call_id' is missing: a message of the role "tool" must tell which call it answers.` })
  }
  return {
    role,
    content: content == null ? (refusal ?? '') : typeof content === 'string' ? content : content.map((part) => (part.type === 'text' ? part.text : part.refusal)).join('\n'),
    reasoning: message.reasoning_content ?? message.reasoning ?? '',
    toolCalls: (calls ?? []).map(({ id, function: called }) => ({ id, name: called.name, arguments: called.arguments })),
    toolCallId: toolCallId ?? '',
    name: name ?? '',
  }
}

function topLogprobsOf({ logprobs, top_logprobs: top }: Body): number | undefined {
  if (logprobs === true) return top ?? 0
  if (top != null && top > 0) throw unsupported('top_logprobs', "'top_logprobs' is only allowed when 'logprobs' is true.")
  return undefined
}
