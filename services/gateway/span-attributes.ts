import type { Attributes } from '@opentelemetry/api'
import type { Tally } from './tally.ts'
import type { ChatRequest } from './openai/chat-request.ts'

/** GenAI semantic conventions, https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Content attributes are left out on purpose. */
export function requestAttributes(request: ChatRequest): Attributes {
  return {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'intramuros',
    'gen_ai.request.model': request.model,
    'gen_ai.request.temperature': request.temperature,
    'gen_ai.request.top_p': request.topP,
    'gen_ai.output.type': 'text',
    ...(request.maxTokens === 0 ? {} : { 'gen_ai.request.max_tokens': request.maxTokens }),
    ...(request.seed === undefined ? {} : { 'gen_ai.request.seed': request.seed }),
  }
}

export function completionAttributes(requestId: string, tally: Tally): Attributes {
  return {
    'gen_ai.response.id': `chatcmpl-${requestId.replaceAll('-', '')}`,
    'gen_ai.usage.input_tokens': tally.inputTokens,
    'gen_ai.usage.output_tokens': tally.outputTokens,
    ...(tally.finishReason === '' ? {} : { 'gen_ai.response.finish_reasons': [tally.finishReason] }),
  }
}
