import type { LogprobEntry, TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'

export interface ChatLogprob {
  /** A part of a character is told as U+FFFD; `bytes` has what it is. */
  token: string
  logprob: number
  bytes: number[]
}

/** OpenAI's `logprobs.content`. */
export function chatLogprobs(logprobs: readonly TokenLogprob[]): (ChatLogprob & { top_logprobs: ChatLogprob[] })[] {
  return logprobs.map(({ token, top }) => ({ ...entryOf(token), top_logprobs: top.map(entryOf) }))
}

function entryOf(entry: LogprobEntry | undefined): ChatLogprob {
  const text = entry?.text ?? Buffer.alloc(0)
  // JSON has no minus infinity; OpenAI has -9999.0 for it.
  return { token: Buffer.from(text).toString(), logprob: Math.max(entry?.logprob ?? 0, -9999), bytes: [...text] }
}
