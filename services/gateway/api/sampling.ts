import Type, { type Static } from 'typebox'
import type { Sampling } from '../../../proto/gen/intramuros/v1/inference.ts'
import { invalid } from './body.ts'
import { nullable, refused } from './parameter.ts'

const mostBiases = 1024
const defaultPenaltyWindow = 64

/** The parameters of sampling that OpenAI's chat and completions have, and those of llama-server and vLLM. */
export const samplingFields = {
  temperature: nullable(Type.Number({ minimum: 0, maximum: 2 }), 'Sampling temperature; 0 is greedy. Default 1.'),
  top_p: nullable(Type.Number({ minimum: 0, maximum: 1 }), 'Nucleus sampling: only the likeliest tokens that make up this probability. Default 1.'),
  top_k: nullable(Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 }), 'Only so many of the likeliest tokens; 0 and -1 keep all. Default 0.'),
  min_p: nullable(Type.Number({ minimum: 0, maximum: 1 }), 'Only tokens at least so likely as this part of the likeliest. Default 0.'),
  presence_penalty: nullable(Type.Number({ minimum: -2, maximum: 2 }), 'Taken off the logits of tokens that the answer has already. Default 0.'),
  frequency_penalty: nullable(Type.Number({ minimum: -2, maximum: 2 }), 'Taken off the logits of tokens for each time that the answer has them. Default 0.'),
  repeat_penalty: nullable(
    Type.Number({ minimum: 0.01, maximum: 100 }),
    'Divides the logits of tokens among the last `repeat_last_n` of prompt and answer, as llama-server does. Default 1.',
  ),
  repetition_penalty: nullable(Type.Number({ minimum: 0.01, maximum: 100 }), "vLLM's name of `repeat_penalty`."),
  repeat_last_n: nullable(Type.Integer({ minimum: 0, maximum: 4096 }), `Tokens that \`repeat_penalty\` looks back. Default ${defaultPenaltyWindow}.`),
  logit_bias: nullable(
    Type.Unsafe<Record<string, number>>({ type: 'object', maxProperties: mostBiases, additionalProperties: { type: 'number', minimum: -100, maximum: 100 } }),
    `Added to the logits of these tokens, by token id; at most ${mostBiases}.`,
  ),
  seed: nullable(
    Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
    'The same seed, request and model give the same answer, as far as docs/determinism.md tells.',
  ),
}

const SamplingFields = Type.Object(samplingFields)

const elsewhere = 'this API has no such parameter. Use POST /v1/chat/completions.'

/** What the other APIs don't have: sent to them out of habit, it is refused rather than taken for unknown, for it would change the answer. */
export const chatOnlySamplingFields = {
  min_p: refused([null, 0], elsewhere),
  presence_penalty: refused([null, 0], elsewhere),
  frequency_penalty: refused([null, 0], elsewhere),
  repeat_penalty: refused([null, 1], elsewhere),
  repetition_penalty: refused([null, 1], elsewhere),
  logit_bias: refused([null], elsewhere),
  seed: refused([null, -1], elsewhere),
  n: refused([null, 1], elsewhere),
  grammar: refused([null, ''], elsewhere),
  chat_template_kwargs: refused([null], elsewhere),
}

/** Sampling as the model has it: nothing shapes it. */
export function neutralSampling(): Sampling {
  return {
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    repeatPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    penaltyWindow: defaultPenaltyWindow,
    logitBias: {},
  }
}

export function samplingOf(body: Static<typeof SamplingFields>): Sampling {
  const neutral = neutralSampling()
  // A nucleus of nothing is the likeliest token alone, which is what greedy decoding takes.
  const greedy = body.top_p === 0
  return {
    temperature: greedy ? 0 : (body.temperature ?? neutral.temperature),
    topP: greedy ? 1 : (body.top_p ?? neutral.topP),
    topK: Math.max(0, body.top_k ?? neutral.topK),
    minP: body.min_p ?? neutral.minP,
    repeatPenalty: oneOf(body, 'repeat_penalty', 'repetition_penalty') ?? neutral.repeatPenalty,
    presencePenalty: body.presence_penalty ?? neutral.presencePenalty,
    frequencyPenalty: body.frequency_penalty ?? neutral.frequencyPenalty,
    penaltyWindow: body.repeat_last_n ?? neutral.penaltyWindow,
    logitBias: biasesOf(body.logit_bias ?? {}),
    ...(body.seed == null ? {} : { seed: foldSeed(body.seed) }),
  }
}

/** The value of a parameter that has two names. Throws INVALID_ARGUMENT when they don't agree. */
export function oneOf<Name extends string>(body: Partial<Record<Name, number | null>>, name: Name, other: Name): number | undefined {
  const value = body[name] ?? undefined
  const second = body[other] ?? undefined
  if (value !== undefined && second !== undefined && value !== second) {
    throw invalid({ param: other, message: `'${name}' and '${other}' are names of one parameter and have different values. Send one of them.` })
  }
  return value ?? second
}

function biasesOf(biases: Record<string, number>): Record<number, number> {
  const byToken: Record<number, number> = {}
  for (const [name, bias] of Object.entries(biases)) {
    if (!/^\d{1,9}$/.test(name)) throw invalid({ param: 'logit_bias', message: "The names in 'logit_bias' must be token ids, as \"1234\"." })
    byToken[Number(name)] = bias
  }
  return byToken
}

/** The engine's seeds have 32 bits; OpenAI's are wider. The same seed gives the same result; those of 32 bits are taken as they are. */
function foldSeed(seed: number): number {
  const whole = BigInt.asUintN(64, BigInt(seed))
  // An odd number: negative seeds, whose upper halves are alike, don't meet the others.
  return Number(BigInt.asUintN(32, whole ^ ((whole >> 32n) * 0x9e37_79b1n)))
}

const mostStops = 16
const StopText = Type.String({ minLength: 1, maxLength: 1024 })

export const stopField = nullable(
  Type.Union([StopText, Type.Array(StopText, { maxItems: mostStops })]),
  `The answer ends before the first of these texts; one, or at most ${mostStops}. Calls of tools are not cut by them.`,
)

export function stopsOf(stop: Static<typeof stopField> | undefined): string[] {
  if (stop == null) return []
  return typeof stop === 'string' ? [stop] : stop
}
