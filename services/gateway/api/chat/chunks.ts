/** Wire shapes of chat completions, https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming. */

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

export type ChatFinishReason = 'stop' | 'length'

export interface ChatIdentity {
  /** "chatcmpl-…" */
  id: string
  model: string
  /** Seconds since 1970. */
  created: number
}

export function usage(inputTokens: number, outputTokens: number): Usage {
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens }
}

export function chatCompletion({ id, model, created }: ChatIdentity, text: string, finishReason: ChatFinishReason, used: Usage): string {
  return JSON.stringify({
    id,
    object: 'chat.completion',
    created,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content: text, refusal: null }, logprobs: null, finish_reason: finishReason }],
    usage: used,
  })
}

/** Server-sent events of one streamed answer, each ready to write. What is the same in all of them is serialised once. */
export interface ChatChunks {
  first(): string
  delta(text: string): string
  finish(reason: ChatFinishReason): string
  usage(used: Usage): string
}

export function chatChunks({ id, model, created }: ChatIdentity, includeUsage: boolean): ChatChunks {
  const head = `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model }).slice(0, -1)},"choices":[`
  // With include_usage every chunk but the last says null.
  const tail = includeUsage ? '],"usage":null}\n\n' : ']}\n\n'
  return {
    first: () => `${head}{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}${tail}`,
    delta: (text) => `${head}{"index":0,"delta":{"content":${JSON.stringify(text)}},"logprobs":null,"finish_reason":null}${tail}`,
    finish: (reason) => `${head}{"index":0,"delta":{},"logprobs":null,"finish_reason":"${reason}"}${tail}`,
    usage: (used) => `${head}],"usage":${JSON.stringify(used)}}\n\n`,
  }
}

export const streamEnd = 'data: [DONE]\n\n'
