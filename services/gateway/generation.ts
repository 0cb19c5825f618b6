import type { Sampling, TokenLogprob } from '../../proto/gen/intramuros/v1/inference.ts'
import type { OutputFormat, PrepareRequest } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { OutputPart } from '../shared/dialects/output-part.ts'

export type Prompt = NonNullable<PrepareRequest['prompt']>

/** What any of the APIs that generate text asks for, in one shape. */
export interface Generation {
  model: string
  prompt: Prompt
  /** The further ones of a batch; their choices are counted on from those of the first. */
  furtherPrompts?: readonly Prompt[]
  /** What the text of the answer must be. */
  format: OutputFormat | undefined
  /** Most tokens of one choice; 0: as many as fit the context. */
  maxTokens: number
  /** Answers to each prompt, from 1; the seed of each is the request's plus its index. */
  choices: number
  sampling: Sampling
  stop: string[]
  /** Undefined: no log-probabilities are wanted. Else each token's, and those of so many alternatives. */
  topLogprobs: number | undefined
  stream: boolean
  /** The prompt as text is wanted in `Answer.start`. */
  wantPromptText: boolean
  /** The client's hint at which requests share a prefix; means something inside its team only. Empty for none. */
  cacheKey: string
  /** Work that can wait for others'. */
  batch: boolean
}

export interface ChoiceEnd {
  /** "tool_calls" when the model ended its turn with a call. */
  finishReason: 'stop' | 'length' | 'tool_calls'
  /** The stop sequence that came, if one did. */
  stopSequence: string | undefined
}

export interface TokensUsed {
  input: number
  /** Of the input, what workers held evaluated already. */
  cached: number
  /** Of all choices together. */
  output: number
  /** Of the output, those of the reasoning, as far as it is known. */
  reasoning: number
}

/**
 * How an answer reaches the client in its API's own shape: streamed, or whole at its end. Whatever returns a promise waits for a
 * client that doesn't keep up. Calls of different choices come mixed, those of one choice in order.
 */
export interface Answer {
  /** Called once, when the answer may begin: its audit record is durable. */
  start(prompts: readonly { text: string; tokens: number }[]): void
  /** `logprobs` are those of the tokens that made these parts; empty unless they were wanted. At least one of both isn't empty. */
  parts(choice: number, parts: readonly OutputPart[], logprobs: readonly TokenLogprob[]): Promise<void> | undefined
  endChoice(choice: number, end: ChoiceEnd): Promise<void> | undefined
  /** The end record is durable: everything may go out. */
  finish(used: TokensUsed): void
}
