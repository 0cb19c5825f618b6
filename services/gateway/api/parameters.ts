import { ServiceError } from '../../shared/errors.ts'

/**
 * Parameters of OpenAI's API that would change the result and can't be honoured yet, with the values that ask for nothing:
 * many clients send those by default. Anything else is refused rather than silently ignored.
 */
const unsupported: Record<string, readonly unknown[]> = {
  audio: [null],
  frequency_penalty: [null, 0],
  function_call: [null, 'auto', 'none'],
  functions: [null],
  grammar: [null, ''],
  logit_bias: [null],
  logprobs: [null, false],
  min_p: [null, 0],
  modalities: [null],
  moderation: [null],
  n: [null, 1],
  prediction: [null],
  presence_penalty: [null, 0],
  reasoning_effort: [null],
  repeat_penalty: [null, 1],
  response_format: [null],
  service_tier: [null, 'auto', 'default'],
  store: [null, false],
  tool_choice: [null, 'auto', 'none'],
  tools: [null],
  top_k: [null, 0, -1],
  top_logprobs: [null, 0],
  verbosity: [null],
  web_search_options: [null],
}

/** Known parameters that don't change the result: taken, and of no effect here. */
const harmless = new Set(['user', 'metadata', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention', 'parallel_tool_calls'])

/** Throws INVALID_ARGUMENT unsupported_parameter for the first one that asks for something we can't do. */
export function refuseUnsupported(body: Record<string, unknown>): void {
  for (const [name, neutral] of Object.entries(unsupported)) {
    if (!Object.hasOwn(body, name)) continue
    const value = body[name]
    if (neutral.includes(value) || isEmpty(value) || isTextOnly(name, value)) continue
    throw new ServiceError('INVALID_ARGUMENT', 'unsupported_parameter', `'${name}' is not supported with this value yet. Leave it out.`, { param: name })
  }
}

/** Top-level names that are neither OpenAI's nor ours. Bounded and percent-encoded, so that they fit a header. */
export function ignoredParameters(body: Record<string, unknown>, known: readonly string[]): string[] {
  return Object.keys(body)
    .filter((name) => !known.includes(name) && !Object.hasOwn(unsupported, name) && !harmless.has(name))
    .map((name) => encodeURIComponent(name.slice(0, 64).toWellFormed()))
    .slice(0, 16)
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function isTextOnly(name: string, value: unknown): boolean {
  if (name === 'modalities') return Array.isArray(value) && value.length === 1 && value[0] === 'text'
  return name === 'response_format' && typeof value === 'object' && value !== null && 'type' in value && value.type === 'text'
}
