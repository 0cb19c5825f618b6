import type { RequestParameters } from '../../proto/gen/intramuros/v1/audit.ts'
import type { Generation } from './generation.ts'

/** What the record of a request tells of its parameters: those that change what it may cost or answer, as far as they were sent. */
export function recordedParameters({ maxTokens, choices, sampling, prompt, format, topLogprobs }: Generation, json: unknown): RequestParameters {
  const sent = (name: string): boolean => typeof json === 'object' && json !== null && name in json && (json as Record<string, unknown>)[name] !== null
  const tools = prompt.$case === 'conversation' ? prompt.value.tools.length : 0
  return {
    maxTokens: maxTokens === 0 ? undefined : maxTokens,
    n: choices === 1 && !sent('n') ? undefined : choices,
    temperature: sent('temperature') ? sampling.temperature : undefined,
    topP: sent('top_p') ? sampling.topP : undefined,
    seed: sampling.seed === undefined ? undefined : true,
    tools: tools === 0 ? undefined : tools,
    structured: format === undefined ? undefined : true,
    logprobs: topLogprobs === undefined ? undefined : true,
  }
}
