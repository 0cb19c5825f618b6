import Type from 'typebox'
import { ChatLogprobs } from '../chat/response.ts'
import { JsonObject } from '../format.ts'

const status = Type.Enum(['in_progress', 'completed', 'incomplete'])
const logprobs = ChatLogprobs.properties.content
const OutputText = Type.Object({ type: Type.Literal('output_text'), text: Type.String(), annotations: Type.Array(Type.Never()), logprobs })
const ReasoningText = Type.Object({ type: Type.Literal('reasoning_text'), text: Type.String() })
const nullableString = Type.Union([Type.String(), Type.Null()])
const nullableInteger = Type.Union([Type.Integer(), Type.Null()])

const FunctionToolObject = Type.Object({
  type: Type.Literal('function'),
  name: Type.String(),
  description: nullableString,
  parameters: Type.Union([JsonObject, Type.Null()]),
  strict: Type.Union([Type.Boolean(), Type.Null()]),
})

const OutputItem = Type.Union([
  Type.Object({ type: Type.Literal('reasoning'), id: Type.String(), summary: Type.Array(Type.Never()), content: Type.Array(ReasoningText), status }),
  Type.Object({ type: Type.Literal('message'), id: Type.String(), role: Type.Literal('assistant'), status, content: Type.Array(OutputText) }),
  Type.Object({ type: Type.Literal('function_call'), id: Type.String(), call_id: Type.String(), name: Type.String(), arguments: Type.String(), status }),
])

const Usage = Type.Object({
  input_tokens: Type.Integer(),
  input_tokens_details: Type.Object({ cached_tokens: Type.Integer(), cache_write_tokens: Type.Integer() }),
  output_tokens: Type.Integer(),
  output_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
  total_tokens: Type.Integer(),
})

/** https://platform.openai.com/docs/api-reference/responses/object */
export const ResponseObject = Type.Object({
  id: Type.String(),
  object: Type.Literal('response'),
  created_at: Type.Integer(),
  completed_at: nullableInteger,
  status,
  model: Type.String(),
  access_programs: Type.Null(),
  background: Type.Literal(false),
  error: Type.Null(),
  incomplete_details: Type.Union([Type.Object({ reason: Type.Literal('max_output_tokens') }), Type.Null()]),
  instructions: nullableString,
  max_output_tokens: nullableInteger,
  max_tool_calls: Type.Null(),
  metadata: Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: { type: 'string' } }),
  output: Type.Array(OutputItem),
  parallel_tool_calls: Type.Boolean(),
  previous_response_id: Type.Null(),
  reasoning: Type.Object({ effort: nullableString, summary: Type.Null() }),
  service_tier: Type.Enum(['default', 'flex']),
  temperature: Type.Number(),
  text: Type.Object({ format: Type.Object({ type: Type.Enum(['text', 'json_object', 'json_schema']) }) }),
  tool_choice: Type.Union([Type.Enum(['none', 'auto', 'required']), Type.Object({ type: Type.Literal('function'), name: Type.String() })]),
  tools: Type.Array(FunctionToolObject),
  top_logprobs: Type.Integer(),
  top_p: Type.Number(),
  truncation: Type.Literal('disabled'),
  usage: Type.Optional(Usage),
})

const numbered = { sequence_number: Type.Integer() }
const inItem = { item_id: Type.String(), output_index: Type.Integer() }
const inPart = { ...inItem, content_index: Type.Integer() }

/** Data of one event of a stream, https://platform.openai.com/docs/api-reference/responses-streaming */
export const ResponseStreamEvent = Type.Union([
  Type.Object({ type: Type.Enum(['response.created', 'response.in_progress', 'response.completed', 'response.incomplete']), ...numbered, response: ResponseObject }),
  Type.Object({ type: Type.Enum(['response.output_item.added', 'response.output_item.done']), ...numbered, output_index: Type.Integer(), item: OutputItem }),
  Type.Object({ type: Type.Enum(['response.content_part.added', 'response.content_part.done']), ...numbered, ...inPart, part: Type.Union([OutputText, ReasoningText]) }),
  Type.Object({ type: Type.Literal('response.output_text.delta'), ...numbered, ...inPart, delta: Type.String(), logprobs }),
  Type.Object({ type: Type.Literal('response.output_text.done'), ...numbered, ...inPart, text: Type.String(), logprobs }),
  Type.Object({ type: Type.Literal('response.reasoning_text.delta'), ...numbered, ...inPart, delta: Type.String() }),
  Type.Object({ type: Type.Literal('response.reasoning_text.done'), ...numbered, ...inPart, text: Type.String() }),
  Type.Object({ type: Type.Literal('response.function_call_arguments.delta'), ...numbered, ...inItem, delta: Type.String() }),
  Type.Object({ type: Type.Literal('response.function_call_arguments.done'), ...numbered, ...inItem, arguments: Type.String() }),
  Type.Object({ type: Type.Literal('error'), ...numbered, code: Type.String(), message: Type.String(), param: nullableString }),
])
