import type { WireType } from './validator.ts'

type Json = Record<string, unknown>

/** What a model is told to be besides what OpenAI tells: docs/api.md. */
const modelExtras = ['context_length', 'max_model_len', 'capabilities', 'architecture', 'parameters', 'quantisation', 'embedding_length', 'licence', 'openness', 'digest']

/**
 * The value as the types describe it, without what they don't know on purpose. Each difference is here and nowhere else.
 */
export function asDescribed(type: WireType, value: unknown, streamed: boolean): unknown {
  const object = value as Json
  switch (type) {
    case 'ChatCompletion':
      return mapChoices(object, (choice) => ({ ...choice, message: without(choice['message'], ['reasoning_content']) }))
    case 'ChatCompletionChunk':
      return mapChoices(object, (choice) => ({ ...choice, delta: without(choice['delta'], ['reasoning_content']) }))
    case 'Completion':
      // In a stream, OpenAI sends null until the end, which its type forgets; and null as usage of all events but the last.
      if (!streamed) return object
      return mapChoices(object['usage'] === null ? without(object, ['usage']) : object, (choice) => ({ ...choice, finish_reason: choice['finish_reason'] ?? 'stop' }))
    case 'CreateEmbeddingResponse':
      // The type is of what the client has decoded.
      return { ...object, data: (object['data'] as Json[]).map((item) => ({ ...item, embedding: typeof item['embedding'] === 'string' ? [] : item['embedding'] })) }
    case 'Model':
      return without(object, modelExtras)
    case 'Response':
      // The client adds it.
      return { output_text: '', ...object }
    case 'ResponseStreamEvent':
      return 'response' in object ? { ...object, response: { output_text: '', ...(object['response'] as Json) } } : object
    default:
      return value
  }
}

function mapChoices(object: Json, map: (choice: Json) => Json): Json {
  return { ...object, choices: (object['choices'] as Json[]).map(map) }
}

function without(object: unknown, names: readonly string[]): Json {
  return Object.fromEntries(Object.entries(object as Json).filter(([name]) => !names.includes(name)))
}
