import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import type { ChoiceEnd } from '../../generation.ts'
import type { Usage } from '../usage.ts'
import { chatLogprobs } from './logprobs.ts'

export interface ChatIdentity {
  /** "chatcmpl-…" */
  id: string
  model: string
  /** Seconds since 1970. */
  created: number
}

/**
 * Server-sent events of a streamed chat completion, https://platform.openai.com/docs/api-reference/chat-streaming, each ready to write.
 * What is the same in all of them is serialised once.
 */
export interface ChatChunks {
  first(choice: number): string
  part(choice: number, part: OutputPart, logprobs: readonly TokenLogprob[]): string
  /** Log-probabilities of tokens that brought no text of their own. */
  logprobs(choice: number, logprobs: readonly TokenLogprob[]): string
  end(choice: number, reason: ChoiceEnd['finishReason']): string
  usage(used: Usage): string
}

export function chatChunks({ id, model, created }: ChatIdentity, includeUsage: boolean, callId: () => string): ChatChunks {
  const head = `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model }).slice(0, -1)},"choices":[`
  // With include_usage every chunk but the last says null.
  const tail = includeUsage ? '],"usage":null}\n\n' : ']}\n\n'

  function chunk(choice: number, delta: string, logprobs: readonly TokenLogprob[], reason = 'null'): string {
    const told = logprobs.length === 0 ? 'null' : JSON.stringify({ content: chatLogprobs(logprobs), refusal: null })
    return `${head}{"index":${choice},"delta":${delta},"logprobs":${told},"finish_reason":${reason}}${tail}`
  }

  function delta(part: OutputPart): string {
    switch (part.kind) {
      case 'text':
        return `{"content":${JSON.stringify(part.text)}}`
      case 'reasoning':
        return `{"reasoning_content":${JSON.stringify(part.text)}}`
      case 'tool_call':
        return `{"tool_calls":[${JSON.stringify({ index: part.index, id: callId(), type: 'function', function: { name: part.name, arguments: '' } })}]}`
      case 'tool_arguments':
        return `{"tool_calls":[{"index":${part.index},"function":{"arguments":${JSON.stringify(part.text)}}}]}`
    }
  }

  return {
    first: (choice) => chunk(choice, '{"role":"assistant","content":"","refusal":null}', []),
    part: (choice, part, logprobs) => chunk(choice, delta(part), logprobs),
    logprobs: (choice, logprobs) => chunk(choice, '{}', logprobs),
    end: (choice, reason) => chunk(choice, '{}', [], `"${reason}"`),
    usage: (used) => `${head}],"usage":${JSON.stringify(used)}}\n\n`,
  }
}

export const streamEnd = 'data: [DONE]\n\n'
