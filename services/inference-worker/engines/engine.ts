/**
 * What runs a model, at the level of raw tokens. Limits, stop sequences, text assembly, queueing and metrics are outside it,
 * so that every engine has the same ones.
 */
export interface Engine {
  /** Catalogue id of the model. */
  readonly model: string
  /** Most tokens that a slot holds, prompt and answer together. */
  readonly contextLength: number
  /** Requests that are decoded in one batch. */
  readonly slots: number
  /** Token ids are below this. */
  readonly vocabularySize: number
  /**
   * Empties the slot, evaluates the prompt in it and yields the tokens that follow, one for each decode step, without an end
   * of its own: the caller stops at an end-of-generation token and before prompt and answer together pass `contextLength`.
   * When the signal aborts it ends without an error, within one decode step; when it has ended, the slot is free. Throws
   * whatever the engine failed with.
   */
  decode(request: DecodeRequest, signal: AbortSignal): AsyncGenerator<number, void, undefined>
  isEndOfGeneration(token: number): boolean
  /**
   * The text of an answer to this prompt, token by token, as UTF-8 bytes that may split a character. Special tokens have
   * none.
   */
  createDetokeniser(prompt: readonly number[]): Detokeniser
  /** Milliseconds since the decode step under way began; 0 when there is none. */
  stepMs(): number
  /** Ends what is being decoded and frees the memory. */
  close(): Promise<void>
}

export type Detokeniser = (token: number) => Uint8Array

export interface DecodeRequest {
  /** From 0 to `slots` - 1; one request at a time. */
  slot: number
  /** Not empty, ids below `vocabularySize`. */
  tokens: readonly number[]
  /** 0 is greedy. */
  temperature: number
  /** In (0, 1]; 1 keeps every token. */
  topP: number
  /** Unsigned 32 bits. The same seed gives the same tokens, as far as the engine's arithmetic does. */
  seed: number
}
