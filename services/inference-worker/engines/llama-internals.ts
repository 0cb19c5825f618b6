import type { Llama, LlamaContext, LlamaModel, LlamaRankingContext, Token } from 'node-llama-cpp'
import { EngineLoadError } from './load-error.ts'

/**
 * What the engine needs of node-llama-cpp that it does not export: whole decode steps, and to draw several times from the same
 * logits, each time in another way. All access to its internals is in this file; the version is pinned.
 */
export interface LlamaInternals {
  createSampler(): NativeSampler
  /**
   * One decode step. Resolves with the places of the logits of those that want them, in their order; the logits are there until the
   * next step. No token may be drawn while a step is under way.
   */
  decode(entries: readonly BatchEntry[]): Promise<number[]>
  /**
   * Drops what a sequence holds from a position on. False, and nothing is dropped, where the model's memory can't be cut there: that of a
   * recurrent model is one state.
   */
  drop(sequence: number, from: number): boolean
  /** The first position that a sequence still holds: beyond 0 where old ones have left a sliding window; -1 when it holds none. */
  firstPosition(sequence: number): number
  /** Draws a token. */
  sample(logits: number, sampler: NativeSampler): Promise<number>
  /** The tokens that the sampler's chain leaves, likeliest first, and their probabilities among each other. */
  candidates(logits: number, sampler: NativeSampler): Promise<{ token: number; probability: number }[]>
  /** Draws a token and tells its probability among those that the sampler's chain leaves. */
  probability(logits: number, sampler: NativeSampler): Promise<number>
}

export interface BatchEntry {
  /** From 0. */
  sequence: number
  /** That of the first of the tokens, in the sequence. */
  position: number
  tokens: Uint32Array
  /** The logits of the last token are wanted. */
  logits: boolean
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

/** Of AddonContext.cpp, the part that is used. */
interface NativeContext {
  initBatch(size: number): void
  /** Returns the places of the logits of the tokens at `logitIndexes`. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array
  decodeBatch(): Promise<void>
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean
  getSequenceKvCacheMinPosition(sequence: number): number
  sampleToken: SampleToken
}

type SampleToken = (
  logits: number,
  sampler: NativeSampler,
  probabilities?: boolean,
  confidence?: boolean,
) => Promise<number | [token: number, probabilities: number[] | undefined, confidence: number | undefined]>

const contextMethods = ['initBatch', 'addToBatch', 'decodeBatch', 'removeTokenCellsFromSequence', 'getSequenceKvCacheMinPosition', 'sampleToken'] as const

const noLogits = new Uint32Array(0)
/** To llama.cpp, the end of a sequence. */
const toTheEnd = -1

/** Throws EngineLoadError when something is not where it is known to be. */
export function openInternals(llama: Llama, model: LlamaModel, context: LlamaContext): LlamaInternals {
  const AddonSampler = functionIn(member(llama, '_bindings'), 'AddonSampler') as unknown as new (model: unknown) => NativeSampler
  const nativeModel = member(model, '_model')
  const native = nativeContext(context)
  // llama.cpp puts the logits of a step in their order when they are first read, so the first to read them does it alone: threads that
  // read them together before spoil them, and a request may get the token of another. Afterwards reading changes nothing.
  let ordered: Promise<unknown> | undefined

  const sampleToken: SampleToken = (...parameters) => {
    if (ordered !== undefined) return ordered.then(() => native.sampleToken(...parameters))
    const result = native.sampleToken(...parameters)
    ordered = result.catch(() => undefined)
    return result
  }

  return {
    createSampler: () => new AddonSampler(nativeModel),
    async decode(entries) {
      native.initBatch(entries.reduce((sum, { tokens }) => sum + tokens.length, 0))
      const places: number[] = []
      for (const { sequence, position, tokens, logits } of entries) {
        const [place] = native.addToBatch(sequence, position, tokens, logits ? Uint32Array.of(tokens.length - 1) : noLogits)
        if (!logits) continue
        if (place === undefined) throw new Error('the decode step gave no logits')
        places.push(place)
      }
      ordered = undefined
      await native.decodeBatch()
      return places
    },
    drop: (sequence, from) => native.removeTokenCellsFromSequence(sequence, from, toTheEnd),
    firstPosition: (sequence) => native.getSequenceKvCacheMinPosition(sequence),
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

function nativeContext(context: LlamaContext): NativeContext {
  const native = member(context, '_ctx')
  for (const method of contextMethods) functionIn(native, method)
  return native as NativeContext
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
