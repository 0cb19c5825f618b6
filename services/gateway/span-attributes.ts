import type { Attributes } from '@opentelemetry/api'
import type { Generation } from './generation.ts'
import type { Tally } from './tally.ts'

/** GenAI semantic conventions, https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Content attributes are left out on purpose. */
export function generationAttributes({ model, sampling, maxTokens, choices, format }: Generation): Attributes {
  return {
    'gen_ai.provider.name': 'intramuros',
    'gen_ai.request.model': model,
    'gen_ai.request.temperature': sampling.temperature,
    'gen_ai.request.top_p': sampling.topP,
    'gen_ai.output.type': format === undefined ? 'text' : 'json',
    ...(choices === 1 ? {} : { 'gen_ai.request.choice.count': choices }),
    ...(maxTokens === 0 ? {} : { 'gen_ai.request.max_tokens': maxTokens }),
    ...(sampling.seed === undefined ? {} : { 'gen_ai.request.seed': sampling.seed }),
  }
}

export function completionAttributes(requestId: string, tally: Tally): Attributes {
  return {
    'gen_ai.response.id': requestId,
    'gen_ai.usage.input_tokens': tally.inputTokens,
    'gen_ai.usage.output_tokens': tally.outputTokens,
    ...(tally.finishReason === '' ? {} : { 'gen_ai.response.finish_reasons': [tally.finishReason] }),
  }
}
