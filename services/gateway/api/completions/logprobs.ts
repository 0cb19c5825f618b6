import type { LogprobEntry, TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'

export interface CompletionLogprobs {
  tokens: string[]
  token_logprobs: number[]
  top_logprobs: Record<string, number>[]
  /** Where each token begins in the text, in UTF-16 code units. */
  text_offset: number[]
}

/** OpenAI's older shape of log-probabilities, of tokens whose text begins at `offset`. */
export function completionLogprobs(logprobs: readonly TokenLogprob[], offset: number): CompletionLogprobs {
  const told: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
  let at = offset
  // Not broken characters, whose parts have no length of their own: the text counts.
  const characters = new TextDecoder('utf-8', { ignoreBOM: true })
  for (const { token, top } of logprobs) {
    told.tokens.push(textOf(token))
    told.token_logprobs.push(logprobOf(token))
    // Names of an object: of two tokens of the same broken text, the likelier stays.
    told.top_logprobs.push(Object.fromEntries(top.toReversed().map((entry) => [textOf(entry), logprobOf(entry)])))
    told.text_offset.push(at)
    at += characters.decode(token?.text ?? Buffer.alloc(0), { stream: true }).length
  }
  return told
}

function textOf(entry: LogprobEntry | undefined): string {
  return Buffer.from(entry?.text ?? []).toString()
}

/** JSON has no minus infinity; OpenAI has -9999.0 for it. */
function logprobOf(entry: LogprobEntry | undefined): number {
  return Math.max(entry?.logprob ?? 0, -9999)
}
