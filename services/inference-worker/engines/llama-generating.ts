import {
  type LlamaContext,
  LlamaLogLevel,
  type LlamaModel,
  type Token,
} from 'node-llama-cpp'
import type { Logger } from '../../shared/log.ts'
import type { DecodedToken, DecodeRequest, GeneratingEngine } from './engine.ts'
import { EngineLoadError } from './load-error.ts'
import { NoNumbersError } from './no-numbers-error.ts'
import { createDecodeSteps, type DecodeSteps, type Evaluation } from './decode-steps.ts'
import { type LlamaInternals, type NativeSampler, openInternals } from './llama-internals.ts'
import type { LoadedModel } from './llama-load.ts'
import { chooseContextLength, type LlamaEngineOptions, mostSlots } from './llama-options.ts'
import { readTokenTable } from './llama-vocabulary.ts'
import { measureGroups } from './measure-groups.ts'
import { createLogprobReader, type LogprobReader } from './logprob-reader.ts'
import type { Share } from './step-plan.ts'
import { createTokenSampler } from './token-sampler.ts'
import { createTokenTexts } from '../../shared/vocabulary/token-texts.ts'

/** A prompt evaluated beside answers makes their steps no longer than this, whatever its length. */
const mostMsBetweenTokens = 100

/** Decodes on a loaded model. Throws EngineLoadError. */
export async function createGeneratingEngine(
  { llama, model }: LoadedModel,
  options: LlamaEngineOptions,
  log: Logger,
): Promise<GeneratingEngine> {
  const sequences = options.slots + options.spareSlots
  if (sequences > mostSlots)
    throw new EngineLoadError(
      'too_many_slots',
      `llama.cpp decodes at most ${mostSlots} requests at once; ${sequences} slots were asked for, the spare one included.`,
    )
  const table = readTokenTable(model, options.path)
  const contextLength = chooseContextLength(options.contextLength, model.trainContextSize, log)
  const context = await createContext(model, {
    ...options,
    contextLength,
    batchSize: chooseBatchSize(options, llama.gpu === false),
  })
  const internals = openInternals(llama, model, context)
  const now = (): number => performance.now()
  const groups = await measureGroups(internals, sequences, now)
  log.debug({ groups: groups === undefined ? 'all' : Array.from({ length: sequences }, (_, index) => groups.of(index + 1).join('+')) }, 'which answers are evaluated together')
  const steps = createDecodeSteps({ decode: internals.decode, groups, batchSize: context.batchSize, targetMs: mostMsBetweenTokens, now })
  const allSlots = Array.from({ length: sequences }, (_, sequence): Slot => ({ sequence, sampler: internals.createSampler(), held: 0, failed: false }))
  const decoder: Decoder = { internals, steps, logprobReader: createLogprobReader(internals), window: model.fileInsights.swaSize ?? 0 }
  const rollsBack = !model.fileInsights.isRecurrent && !model.fileInsights.isHybrid
  return {
    kind: 'generating',
    model: options.model,
    contextLength,
    slots: options.slots,
    spareSlots: options.spareSlots,
    vocabularySize: table.tokens.length,
    texts: createTokenTexts(table),
    decode: (request, signal) => decode(decoder, slotOf(allSlots, request.slot), request, signal),
    held: (slot) => slotOf(allSlots, slot).held,
    keepable: (slot, count) => (rollsBack ? keepable(decoder, slotOf(allSlots, slot), count) : keepableWhole(slotOf(allSlots, slot), count)),
    check: (slot, signal) => check(decoder, slotOf(allSlots, slot), contextLength, signal),
    isEndOfGeneration: (token) => model.isEogToken(asTokens([token])[0]),
    stepMs: () => (steps.startedAt === undefined ? 0 : performance.now() - steps.startedAt),
    async close() {
      llama.logLevel = LlamaLogLevel.disabled
      await steps.idle()
      await context.dispose()
      decoder.logprobReader.dispose()
      for (const { sampler } of allSlots) sampler.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}

interface Slot {
  /** llama.cpp's number of it. */
  readonly sequence: number
  /** Some hundred kilobytes to megabytes, freed only with the garbage: kept from one request to the next. */
  readonly sampler: NativeSampler
  /** Tokens evaluated in it. */
  held: number
  /** A step with it failed: what it holds is not known. */
  failed: boolean
}

interface Decoder {
  internals: LlamaInternals
  steps: DecodeSteps
  logprobReader: LogprobReader
  /** Tokens of the model's sliding window; 0 where the file tells of none. */
  window: number
}

async function* decode(decoder: Decoder, slot: Slot, request: DecodeRequest, signal: AbortSignal): AsyncGenerator<DecodedToken, void, undefined> {
  const { internals, steps, logprobReader } = decoder
  truncate(decoder, slot, request.keep)
  const sampler = createTokenSampler(internals, slot.sampler, logprobReader, request)
  let tokens = Uint32Array.from(request.tokens).subarray(slot.held)
  for (;;) {
    const next = await steps.evaluate({ ...progressOf(slot), tokens, share: request.share, read: sampler.next }, signal)
    if (next === undefined) return
    yield next
    tokens = Uint32Array.of(next.token)
  }
}

/** Keeps the first tokens only; where that can't be, none. */
function truncate({ internals }: Decoder, slot: Slot, keep: number): void {
  if (keep >= slot.held && !slot.failed) return
  const kept = !slot.failed && keep > 0 && internals.drop(slot.sequence, keep) ? keep : 0
  if (kept === 0 && !internals.drop(slot.sequence, 0)) throw new Error('the slot could not be emptied')
  slot.held = kept
  slot.failed = false
}

/**
 * Of a sliding window, tokens that have left it are gone: what is kept must have all of the window before it. llama.cpp has windows that the file
 * doesn't tell, too (Llama 4): of those, all from the first token on must be there.
 */
function keepable({ internals, window }: Decoder, { sequence, held }: Slot, count: number): number {
  if (count >= held) return held
  return internals.firstPosition(sequence) <= (window === 0 ? 0 : Math.max(0, count - window)) ? count : 0
}

/** A recurrent model's memory is one state, behind all tokens. */
function keepableWhole({ held }: Slot, count: number): number {
  return count >= held ? held : 0
}

async function check(decoder: Decoder, slot: Slot, contextLength: number, signal: AbortSignal): Promise<void> {
  const { steps, logprobReader } = decoder
  const held = slot.held < contextLength ? slot.held : 0
  truncate(decoder, slot, held)
  const read = (logits: number): Promise<number> => logprobReader.read(logits, 0, 1).then(({ logprob }) => logprob)
  const logprob = await steps.evaluate({ ...progressOf(slot), tokens: Uint32Array.of(0), share: checks, read }, signal)
  truncate(decoder, slot, held)
  signal.throwIfAborted()
  if (logprob === undefined) throw new Error('the engine gave no logits')
  if (Number.isNaN(logprob)) throw new NoNumbersError()
}

const checks: Share = { weight: 1, batch: false, served: 0, waiting: 0 }

function progressOf(slot: Slot): Pick<Evaluation<never>, 'sequence' | 'position' | 'onProgress' | 'onFailure'> {
  return {
    sequence: slot.sequence,
    position: slot.held,
    onProgress(count) {
      slot.held += count
    },
    onFailure() {
      slot.held = 0
      slot.failed = true
    },
  }
}

function slotOf(slots: readonly Slot[], index: number): Slot {
  const slot = slots[index]
  if (slot === undefined) throw new RangeError('no such slot')
  return slot
}

/** node-llama-cpp brands its token ids. */
function asTokens(tokens: readonly number[]): Token[] {
  return tokens as Token[]
}

/**
 * A decode step can't be interrupted: a cancel and everybody's next token wait for its end. On a CPU more tokens in a step
 * save nothing (measured: 5.0 ms of CPU a token in steps of 64 as in steps of 512, 6.1 in steps of 32), they only make it
 * longer.
 */
function chooseBatchSize({ batchSize, slots, spareSlots }: LlamaEngineOptions, onCpu: boolean): number {
  return Math.max(onCpu ? Math.min(batchSize, 64) : batchSize, slots + spareSlots)
}

async function createContext(
  model: LlamaModel,
  { slots, spareSlots, contextLength, batchSize, threads }: LlamaEngineOptions,
): Promise<LlamaContext> {
  try {
    return await model.createContext({
      sequences: slots + spareSlots,
      contextSize: contextLength,
      batchSize,
      threads: { ideal: threads, min: threads },
      failedCreationRemedy: false,
    })
  } catch (thrown) {
    throw new EngineLoadError(
      'out_of_memory',
      `There is not enough memory for ${slots + spareSlots} slots of ${contextLength} tokens. Lower the slots or the context length.`,
      thrown,
    )
  }
}
