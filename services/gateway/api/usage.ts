import type { TokensUsed } from '../generation.ts'

/** OpenAI's usage object of chat and completions. */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number }
  completion_tokens_details?: { reasoning_tokens: number }
}

export function usage({ input, cached, output, reasoning }: TokensUsed): Usage {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
    ...(reasoning === 0 ? {} : { completion_tokens_details: { reasoning_tokens: reasoning } }),
  }
}
