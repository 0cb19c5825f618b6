import Type, { type Static } from 'typebox'
import type { ParsedRequest } from '../../endpoint.ts'
import type { Generation, Prompt } from '../../generation.ts'
import { bodyParser, invalid, unsupported } from '../body.ts'
import { extensionFields } from '../extensions.ts'
import { formatFields, formatOf } from '../format.ts'
import { ignored, nullable, refused } from '../parameter.ts'
import { samplingFields, samplingOf, stopField, stopsOf } from '../sampling.ts'
import { includeUsageOf, streamOptionsField } from '../stream-options.ts'
import { completionAnswer } from './answer.ts'

/** As OpenAI has it. */
const defaultMaxTokens = 16
const mostPrompts = 64
const mostChoices = 64
const TokenIds = Type.Array(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }), { minItems: 1 })

export const CompletionBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 256, description: 'Id of a served model, as GET /v1/models tells.' }),
  prompt: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: mostPrompts }), TokenIds, Type.Array(TokenIds, { minItems: 1, maxItems: mostPrompts })], {
    description: `Text, token ids, or a batch of at most ${mostPrompts} of either.`,
  }),
  ...samplingFields,
  max_tokens: nullable(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), `Most tokens of the answer. Default ${defaultMaxTokens}.`),
  stop: stopField,
  n: nullable(Type.Integer({ minimum: 1, maximum: 16 }), `Answers to each prompt; at most ${mostChoices} altogether. Default 1.`),
  best_of: nullable(Type.Integer({ minimum: 1, maximum: 16 }), 'Answers to generate for each prompt, of which the `n` with the highest mean log-probability are given. Not with `stream`.'),
  echo: nullable(Type.Boolean(), 'The prompt stands before the answer. Not with `logprobs`.'),
  suffix: nullable(Type.String(), 'The answer is what stands between `prompt` and this; for models with fill-in-the-middle.'),
  logprobs: nullable(Type.Integer({ minimum: 0, maximum: 20 }), "Tell each token's log-probability and those of so many alternatives."),
  stream: nullable(Type.Boolean(), 'Server-sent events. Default false.'),
  stream_options: streamOptionsField,
  ...formatFields,
  prompt_cache_key: nullable(Type.String({ maxLength: 256 }), 'A hint at which requests share a prefix, inside the team only.'),
  user: ignored(Type.String({ maxLength: 1024 }), 'Who asks is told by the API key.'),
  n_predict: refused([null, -1], 'use max_tokens.'),
  ...extensionFields,
})

type Body = Static<typeof CompletionBody>

const parseBody = bodyParser(CompletionBody)

/** Reads the body of POST /v1/completions, https://platform.openai.com/docs/api-reference/completions/create. */
export function parseCompletionRequest(json: unknown): ParsedRequest {
  const { value: body, unknown } = parseBody(json)
  const [prompt, ...furtherPrompts] = promptsOf(body)
  if (prompt === undefined) throw invalid({ param: 'prompt', message: "'prompt' is empty." })
  const wanted = body.n ?? 1
  const generated = body.best_of ?? wanted
  checkCombinations(body, wanted, generated, 1 + furtherPrompts.length)
  const ranks = generated > wanted
  const generation: Generation = {
    model: body.model,
    prompt,
    furtherPrompts,
    format: formatOf(body),
    maxTokens: body.max_tokens ?? defaultMaxTokens,
    choices: generated,
    sampling: samplingOf(body),
    stop: stopsOf(body.stop),
    topLogprobs: body.logprobs ?? (ranks ? 0 : undefined),
    stream: body.stream ?? false,
    wantPromptText: body.echo ?? false,
    cacheKey: body.prompt_cache_key ?? '',
    batch: false,
  }
  const shape = { wanted, generated, echo: body.echo ?? false, logprobs: body.logprobs != null, includeUsage: includeUsageOf(body) }
  return { generation, unknown, answer: (exchange) => completionAnswer(exchange, generation, shape) }
}

function checkCombinations(body: Body, wanted: number, generated: number, prompts: number): void {
  if (generated < wanted) throw invalid({ param: 'best_of', message: "'best_of' must be at least 'n'." })
  if (generated > wanted && body.stream === true) throw unsupported('best_of', "'best_of' can't be combined with 'stream': the best are known at the end only.")
  if (generated * prompts > mostChoices) throw invalid({ param: 'n', message: `Prompts times answers must be at most ${mostChoices}.` })
  if (body.echo === true && body.logprobs != null) throw unsupported('logprobs', "'logprobs' can't be combined with 'echo': those of the prompt can't be told.")
  if (body.echo === true && body.suffix != null) throw unsupported('suffix', "'suffix' can't be combined with 'echo'.")
}

function promptsOf({ prompt, suffix }: Body): Prompt[] {
  const texts = typeof prompt === 'string' ? [prompt] : prompt
  if (texts.every((text) => typeof text === 'number')) return [tokenPrompt(texts, suffix)]
  return texts.map((text) => (typeof text === 'string' ? { $case: 'text', value: { text, ...(suffix == null ? {} : { suffix }) } } : tokenPrompt(typeof text === 'number' ? [text] : text, suffix)))
}

function tokenPrompt(ids: number[], suffix: string | null | undefined): Prompt {
  if (suffix != null) throw unsupported('suffix', "'suffix' needs a prompt that is text.")
  return { $case: 'tokens', value: { ids } }
}
