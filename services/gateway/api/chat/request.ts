import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { ServiceError } from '../../shared/errors.ts'
import { ignoredParameters, refuseUnsupported } from './parameters.ts'
import { type Problem, firstProblem } from './validation.ts'

const maxMessages = 4096
const maxStops = 4

const optionalNumber = (minimum: number, maximum: number) => Type.Optional(Type.Union([Type.Number({ minimum, maximum }), Type.Null()]))
const optionalCount = () => Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), Type.Null()]))
const optionalBoolean = () => Type.Optional(Type.Union([Type.Boolean(), Type.Null()]))

const TextPart = Type.Object({ type: Type.Literal('text'), text: Type.String() })

const Message = Type.Object({
  role: Type.Enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: Type.Union([Type.String(), Type.Array(TextPart, { minItems: 1 })]),
})

/** Body of POST /v1/chat/completions, https://platform.openai.com/docs/api-reference/chat/create. */
const ChatRequestBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 256 }),
  messages: Type.Array(Message, { minItems: 1, maxItems: maxMessages }),
  temperature: optionalNumber(0, 2),
  top_p: optionalNumber(0, 1),
  max_tokens: optionalCount(),
  max_completion_tokens: optionalCount(),
  stop: Type.Optional(
    Type.Union([Type.String({ minLength: 1, maxLength: 1024 }), Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: maxStops }), Type.Null()]),
  ),
  seed: Type.Optional(Type.Union([Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()])),
  stream: optionalBoolean(),
  stream_options: Type.Optional(Type.Union([Type.Object({ include_usage: optionalBoolean() }), Type.Null()])),
})

type Body = Static<typeof ChatRequestBody>

export interface ChatRequest {
  model: string
  messages: { role: string; content: string }[]
  temperature: number
  topP: number
  /** 0: as many as fit the context. */
  maxTokens: number
  stop: string[]
  seed: number | undefined
  stream: boolean
  includeUsage: boolean
  /** Names of parameters that are not known and were left out of account. */
  ignored: string[]
}

let compiled: ReturnType<typeof Compile<typeof ChatRequestBody>> | undefined

/** Throws INVALID_ARGUMENT with the offending `param`. The texts name places and types, never the values that were sent. */
export function parseChatRequest(json: unknown): ChatRequest {
  compiled ??= Compile(ChatRequestBody)
  if (!compiled.Check(json)) throw invalid(firstProblem(compiled, ChatRequestBody, json))
  const extra = json as Record<string, unknown>
  refuseUnsupported(extra)
  const body: Body = json
  if (body.stream_options != null && body.stream !== true) {
    throw invalid({ param: 'stream_options', message: `'stream_options' is only allowed when 'stream' is true.` })
  }
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? 0
  return {
    model: body.model,
    messages: body.messages.map(({ role, content }) => ({
      role,
      content: typeof content === 'string' ? content : content.map((part) => part.text).join(''),
    })),
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    maxTokens,
    stop: body.stop == null ? [] : typeof body.stop === 'string' ? [body.stop] : body.stop,
    seed: body.seed == null ? undefined : foldSeed(body.seed),
    stream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    ignored: ignoredParameters(extra, Object.keys(ChatRequestBody.properties)),
  }
}

/** The engine's seeds have 32 bits; OpenAI's are wider. The same seed gives the same result. */
function foldSeed(seed: number): number {
  return Number(BigInt.asUintN(32, BigInt(seed) ^ (BigInt(seed) >> 32n)))
}

function invalid({ param, message }: Problem): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'invalid_value', message, param === '' ? {} : { param })
}
