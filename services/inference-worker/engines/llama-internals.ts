import type { Llama, LlamaContext, LlamaContextSequence, LlamaModel, LlamaRankingContext, Token } from 'node-llama-cpp'
import { EngineLoadError } from './load-error.ts'
import { oneAtATime } from './one-at-a-time.ts'

/**
 * What the engine needs of node-llama-cpp that it does not export: to draw several times from the same logits, and each time
 * in another way. All access to its internals is in this file; the version is pinned.
 */
export interface LlamaInternals {
  createSampler(): NativeSampler
  /**
   * Evaluates tokens, not none, and calls `read` with the place of the last one's logits, which are there until it has
   * ended. Resolves with its result, or rejects with what it threw.
   */
  decode<T>(sequence: LlamaContextSequence, tokens: Token[], read: (logits: number) => Promise<T>): Promise<T>
  /** Draws a token. */
  sample(logits: number, sampler: NativeSampler): Promise<number>
  /** The tokens that the sampler's chain leaves, likeliest first, and their probabilities among each other. */
  candidates(logits: number, sampler: NativeSampler): Promise<{ token: number; probability: number }[]>
  /** Draws a token and tells its probability among those that the sampler's chain leaves. */
  probability(logits: number, sampler: NativeSampler): Promise<number>
}

/** Of AddonSampler.cpp. Keeps its random state as long as the seed stays the same. */
export interface NativeSampler {
  /** Fields that are missing turn their step off, but for the temperature: without one it is greedy. */
  applyConfig(config: SamplerConfig): void
  dispose(): void
}

export interface SamplerConfig {
  temperature: number
  seed: number
  topK?: number
  topP?: number
  minP?: number
  repeatPenalty?: number
  repeatPenaltyMaxTokens?: number
  repeatPenaltyTokens?: Uint32Array
  tokenBiasKeys?: Uint32Array
  tokenBiasValues?: Float32Array
}

type SampleToken = (
  logits: number,
  sampler: NativeSampler,
  probabilities?: boolean,
  confidence?: boolean,
) => Promise<number | [token: number, probabilities: number[] | undefined, confidence: number | undefined]>

type DecodeTokens = (
  this: LlamaContextSequence,
  tokens: Token[],
  logits: boolean[],
  priority: undefined,
  meter: unknown,
  shift: unknown,
  map: (logits: number) => Promise<null>,
) => Promise<unknown>

/** Never drop the beginning of a conversation to make room: the caller keeps to the context length. */
export const noShift = {
  size: 1,
  strategy(): never {
    throw new Error('the sequence is full')
  },
}

/** Throws EngineLoadError when something is not where it is known to be. */
export function openInternals(
  llama: Llama,
  model: LlamaModel,
  context: LlamaContext,
  sequences: readonly LlamaContextSequence[],
): LlamaInternals {
  const AddonSampler = functionIn(member(llama, '_bindings'), 'AddonSampler') as unknown as new (model: unknown) => NativeSampler
  const nativeModel = member(model, '_model')
  const nativeContext = member(context, '_ctx')
  for (const sequence of sequences) functionIn(sequence, '_decodeTokens')
  // node-llama-cpp before 3.22 draws the tokens of a batch on several threads at once, without a lock, though llama.cpp puts
  // the logits of a batch in their order only when they are first read: threads that read them together spoil them, and a
  // request may get the token of another.
  const sampleToken = oneAtATime(functionIn(nativeContext, 'sampleToken').bind(nativeContext) as SampleToken)

  return {
    createSampler: () => new AddonSampler(nativeModel),
    async decode<T>(sequence: LlamaContextSequence, tokens: Token[], read: (logits: number) => Promise<T>) {
      const wanted: boolean[] = []
      wanted[tokens.length - 1] = true
      // What is thrown inside the callback would never reach us, and the context would stay locked.
      let outcome: PromiseSettledResult<T> | undefined
      await (functionIn(sequence, '_decodeTokens') as DecodeTokens).call(sequence, tokens, wanted, undefined, sequence.tokenMeter, noShift, async (logits) => {
        ;[outcome] = await Promise.allSettled([read(logits)])
        return null
      })
      if (outcome === undefined) throw new Error('the decode step gave no logits')
      if (outcome.status === 'rejected') throw outcome.reason as Error
      return outcome.value
    },
    async sample(logits, sampler) {
      return drawn(await sampleToken(logits, sampler))
    },
    async candidates(logits, sampler) {
      const result = await sampleToken(logits, sampler, true)
      const flat = (Array.isArray(result) ? result[1] : undefined) ?? []
      const entries: { token: number; probability: number }[] = []
      for (let index = 0; index < flat.length; index += 2) {
        entries.push({ token: flat[index] ?? 0, probability: flat[index + 1] ?? 0 })
      }
      return entries
    },
    async probability(logits, sampler) {
      const result = await sampleToken(logits, sampler, false, true)
      drawn(result)
      return (Array.isArray(result) ? result[2] : undefined) ?? 0
    },
  }
}

/**
 * Scores tokens as they are: the public way makes them of texts itself, and takes no guard against special tokens spelt in them. Throws EngineLoadError.
 */
export function openRanking(context: LlamaRankingContext): (tokens: Token[]) => Promise<number> {
  return functionIn(context, '_evaluateRankingForInput').bind(context) as (tokens: Token[]) => Promise<number>
}

function drawn(result: Awaited<ReturnType<SampleToken>>): number {
  const token = Array.isArray(result) ? result[0] : result
  if (token < 0) throw new Error('no token could be drawn')
  return token
}

function member(owner: object, name: string): object {
  const found: unknown = Reflect.get(owner, name)
  if (typeof found !== 'object' || found === null) throw unknownVersion()
  return found
}

function functionIn(owner: object, name: string): (...parameters: never[]) => unknown {
  const found: unknown = Reflect.get(owner, name)
  if (typeof found !== 'function') throw unknownVersion()
  return found as (...parameters: never[]) => unknown
}

function unknownVersion(): EngineLoadError {
  return new EngineLoadError(
    'load_failed',
    'This version of node-llama-cpp is not known here: its sampler is not where it was. Install the version that package.json names.',
  )
}
