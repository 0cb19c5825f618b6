import type { TokenTexts } from '../../shared/vocabulary/token-texts.ts'

/**
 * What runs a model, at the level of raw tokens. Limits, stop sequences, text assembly, queueing and metrics are outside it,
 * so that every engine has the same ones.
 */
export type Engine = GeneratingEngine | EmbeddingEngine | RankingEngine

/** What engines have in common. */
interface Loaded {
  /** Catalogue id of the model. */
  readonly model: string
  /** Most tokens that a slot holds, prompt and answer together. */
  readonly contextLength: number
  /** Requests that are worked on at once. */
  readonly slots: number
  /** Token ids are below this. */
  readonly vocabularySize: number
  /** Milliseconds since the step under way began; 0 when there is none. */
  stepMs(): number
  /** Ends what is under way and frees the memory. */
  close(): Promise<void>
}

/** Continues a text. */
export interface GeneratingEngine extends Loaded {
  readonly kind: 'generating'
  readonly texts: TokenTexts
  /**
   * Empties the slot, evaluates the prompt in it and yields the tokens that follow, one for each decode step, without an end
   * of its own: the caller stops at an end-of-generation token and before prompt and answer together pass `contextLength`. No
   * token is drawn before the caller asks for it.
   * When the signal aborts it ends without an error, within one decode step; when it has ended, the slot is free. Throws
   * whatever the engine failed with, and what the guide threw as it is.
   */
  decode(request: DecodeRequest, signal: AbortSignal): AsyncGenerator<DecodedToken, void, undefined>
  isEndOfGeneration(token: number): boolean
}

/** Makes one vector of a text. */
export interface EmbeddingEngine extends Loaded {
  readonly kind: 'embedding'
  /** How many tokens an input is evaluated as: those that the model wants first and last are added when they are missing. */
  inputLength(tokens: readonly number[]): number
  /**
   * Not normalised. The tokens: not empty, `inputLength` at most `contextLength`, ids below `vocabularySize`. Throws the signal's
   * reason when it has aborted before its turn came.
   */
  embed(tokens: readonly number[], signal: AbortSignal): Promise<readonly number[]>
}

/** Scores how well a document answers a query. */
export interface RankingEngine extends Loaded {
  readonly kind: 'ranking'
  /**
   * From 0 to 1, more is better. The tokens: query and document in the form that the model wants, not empty, at most `contextLength`, ids below
   * `vocabularySize`; they are evaluated as they are. Throws the signal's reason when it has aborted before its turn came.
   */
  rank(tokens: readonly number[], signal: AbortSignal): Promise<number>
}

export interface DecodeRequest {
  /** From 0 to `slots` - 1; one request at a time. */
  slot: number
  /** Not empty, ids below `vocabularySize`. */
  tokens: readonly number[]
  sampling: Sampling
  /** Has a say in every token. */
  guide: TokenGuide | undefined
  /** Set: each token comes with its log-probability, and those of so many of the likeliest. */
  topLogprobs: number | undefined
}

/** How the next token is drawn, in this order: logit bias, penalties, top-k, top-p, min-p, temperature. */
export interface Sampling {
  /** 0 is greedy. */
  temperature: number
  /** In (0, 1]; 1 keeps every token. */
  topP: number
  /** 0 keeps every token. */
  topK: number
  /** In [0, 1]; 0 keeps every token. */
  minP: number
  /** Above 0; 1 changes nothing. Divides the logits of tokens among the last `penaltyWindow` of prompt and answer. */
  repeatPenalty: number
  penaltyWindow: number
  /** Taken off the logits of tokens that the answer has already: once, and for each time. */
  presencePenalty: number
  frequencyPenalty: number
  /** Added to the logits of tokens. */
  logitBias: ReadonlyMap<number, number>
  /** Unsigned 32 bits. The same seed gives the same tokens, as far as the engine's arithmetic does. */
  seed: number
}

/** Asked before each token, when the caller has seen all those before. */
export interface TokenGuide {
  /** The token that comes in place of a drawn one. */
  forced(): number | undefined
  /** Whether the token may come next. */
  allows(token: number): boolean
  /** The tokens that may not come next: 1 for each, at its place. */
  forbidden(): Uint8Array
}

export interface DecodedToken {
  token: number
  /** When they were asked for. */
  logprobs: TokenLogprobs | undefined
}

/** Natural logarithms of the model's own probabilities, before anything that shapes the sampling. */
export interface TokenLogprobs {
  logprob: number
  /** Likeliest first. */
  top: readonly { token: number; logprob: number }[]
}
