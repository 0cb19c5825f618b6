import type { Share } from './step-plan.ts'
import type { TokenTexts } from '../../shared/vocabulary/token-texts.ts'

/**
 * What runs a model, at the level of raw tokens. Limits, stop sequences, text assembly, queueing and metrics are outside it,
 * so that every engine has the same ones.
 */
export type Engine = GeneratingEngine | RemoteEngine | EmbeddingEngine | RankingEngine

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
  /** The server that runs the model, where that is not this process. */
  readonly upstream?: Upstream
  /** Ends what is under way and frees the memory. */
  close(): Promise<void>
}

/** What is known of the tokens that a model generates. */
export interface Vocabulary {
  readonly vocabularySize: number
  readonly texts: TokenTexts
  isEndOfGeneration(token: number): boolean
}

/** Continues a text. */
export interface GeneratingEngine extends Loaded, Vocabulary {
  readonly kind: 'generating'
  /** Slots besides, numbered after the others. */
  readonly spareSlots: number
  /**
   * Drops what the slot holds behind the first `keep` tokens, evaluates the rest of the prompt in it and yields the tokens that follow, one
   * for each decode step, without an end of its own: the caller stops at an end-of-generation token and before prompt and answer together
   * pass `contextLength`. No token is drawn before the caller asks for it.
   * When the signal aborts it ends without an error, within one decode step; when it has ended, the slot is free. Throws
   * whatever the engine failed with, and what the guide threw as it is.
   */
  decode(request: DecodeRequest, signal: AbortSignal): AsyncGenerator<DecodedToken, void, undefined>
  /** How many tokens of the last request's prompt and answer the slot holds evaluated, from the first on. Not while it is in use. */
  held(slot: number): number
  /** How many of the first `count` tokens that the slot holds can be kept when those behind them are dropped. Not while it is in use. */
  keepable(slot: number, count: number): number
  /** Evaluates one token in a free slot; what the slot holds stays, where the model's memory can be cut. Throws when the engine does. */
  check(slot: number, signal: AbortSignal): Promise<void>
}

/** Continues a text in another process, which draws the tokens by itself: nobody can have a say in each of them. */
export interface RemoteEngine extends Loaded, Vocabulary {
  readonly kind: 'remote'
  /** Those that end a turn. */
  readonly endTokens: readonly number[]
  /**
   * Yields the tokens as they come, and why there are no more. When the signal aborts it ends without an error and the server is told.
   * Throws UNAVAILABLE when the server has no room; else whatever the engine failed with.
   */
  complete(request: RemoteRequest, signal: AbortSignal): AsyncGenerator<DecodedToken | RemoteEnd, void, undefined>
  /** How many tokens of the last request's prompt and answer the slot holds there, as far as is known. Not while it is in use. */
  held(slot: number): number
  /** Has one token drawn. Throws when the engine does, or has none to give. */
  check(slot: number, signal: AbortSignal): Promise<void>
}

/** What another process says of itself. */
export interface Upstream {
  /** False from when it stops answering until it answers again and is what it was. */
  readonly up: boolean
  /** Requests of all its clients; undefined when it does not tell. */
  readonly load: { running: number; waiting: number } | undefined
  /** Told after each change of the load; returns what ends that. */
  subscribe(listener: () => void): () => void
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
  /** From 0 to `slots` + `spareSlots` - 1; one request at a time. */
  slot: number
  /** Not empty, ids below `vocabularySize`. */
  tokens: readonly number[]
  /** So many of the tokens the slot holds already, as `keepable` said; fewer than there are. 0 empties the slot. */
  keep: number
  /** Who is worked for. */
  share: Share
  sampling: Sampling
  /** Has a say in every token. */
  guide: TokenGuide | undefined
  /** Set: each token comes with its log-probability, and those of so many of the likeliest. */
  topLogprobs: number | undefined
}

export interface RemoteRequest {
  /** From 0 to `slots` - 1; one request at a time. */
  slot: number
  /** What is computed for one team never serves another. Empty: what is computed serves nobody. */
  team: string
  /** Not empty, ids below `vocabularySize`. */
  tokens: readonly number[]
  /** How many of them, at their end, are of the answer already. */
  answered: number
  /** At least 1. */
  maxTokens: number
  sampling: Sampling
  /** The tokens that may not come: 1 for each, at its place. Only with one token at most. */
  forbidden: Uint8Array | undefined
  /** Set: each token comes with its log-probability, and those of so many of the likeliest. */
  topLogprobs: number | undefined
}

/** Always the last of a completion, unless the caller has stopped reading before. */
export interface RemoteEnd {
  ended: 'turn' | 'limit'
  /** Tokens that were drawn last and brought no text that the server could tell. */
  untold: number
  /** Tokens of the prompt that were not evaluated, because they were for the same team before; undefined when the server does not tell. */
  cachedTokens: number | undefined
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
