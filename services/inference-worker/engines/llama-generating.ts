import {
  type LlamaContext,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
  type Token,
} from 'node-llama-cpp'
import type { Logger } from '../../shared/log.ts'
import type { DecodedToken, DecodeRequest, GeneratingEngine } from './engine.ts'
import { EngineLoadError } from './load-error.ts'
import { type LlamaInternals, type NativeSampler, noShift, openInternals } from './llama-internals.ts'
import type { LoadedModel } from './llama-load.ts'
import { chooseContextLength, type LlamaEngineOptions } from './llama-options.ts'
import { readTokenTable } from './llama-vocabulary.ts'
import { createLogprobReader, type LogprobReader } from './logprob-reader.ts'
import { createSteps, type Steps } from './step.ts'
import { createTokenSampler } from './token-sampler.ts'
import { createTokenTexts } from '../../shared/vocabulary/token-texts.ts'

/** LLAMA_MAX_SEQ of llama.cpp. */
const mostSlots = 256

/** Decodes on a loaded model. Throws EngineLoadError. */
export async function createGeneratingEngine(
  { llama, model }: LoadedModel,
  options: LlamaEngineOptions,
  log: Logger,
): Promise<GeneratingEngine> {
  if (options.slots > mostSlots)
    throw new EngineLoadError(
      'too_many_slots',
      `llama.cpp decodes at most ${mostSlots} requests at once; ${options.slots} slots were asked for.`,
    )
  const table = readTokenTable(model, options.path)
  const contextLength = chooseContextLength(options.contextLength, model.trainContextSize, log)
  const context = await createContext(model, {
    ...options,
    contextLength,
    batchSize: chooseBatchSize(options, llama.gpu === false),
  })
  const steps = createSteps({ batchSize: context.batchSize, now: () => performance.now() })
  const sequences = Array.from({ length: options.slots }, () => context.getSequence({ contextShift: noShift }))
  const internals = openInternals(llama, model, context, sequences)
  const allSlots = sequences.map((sequence): Slot => ({ sequence, sampler: internals.createSampler() }))
  const decoder: Decoder = { internals, steps, logprobReader: createLogprobReader(internals) }
  return {
    kind: 'generating',
    model: options.model,
    contextLength,
    slots: options.slots,
    vocabularySize: table.tokens.length,
    texts: createTokenTexts(table),
    decode: (request, signal) => decode(decoder, slotOf(allSlots, request.slot), request, signal),
    isEndOfGeneration: (token) => model.isEogToken(asTokens([token])[0]),
    stepMs: () => (steps.startedAt === undefined ? 0 : performance.now() - steps.startedAt),
    async close() {
      llama.logLevel = LlamaLogLevel.disabled
      // Ends when no token is being drawn any more.
      await context.dispose()
      decoder.logprobReader.dispose()
      for (const { sampler } of allSlots) sampler.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}

interface Slot {
  sequence: LlamaContextSequence
  /** Some hundred kilobytes to megabytes, freed only with the garbage: kept from one request to the next. */
  sampler: NativeSampler
}

interface Decoder {
  internals: LlamaInternals
  steps: Steps
  logprobReader: LogprobReader
}

async function* decode(
  { internals, steps, logprobReader }: Decoder,
  { sequence, sampler }: Slot,
  request: DecodeRequest,
  signal: AbortSignal,
): AsyncGenerator<DecodedToken, void, undefined> {
  // Nothing of the request before may be reused: whose it was is not known here.
  await sequence.clearHistory()
  const prompt = asTokens(request.tokens)
  let evaluated = 0
  // The prompt goes in steps of its own choosing: a cancel needs not wait for all of it, and others' tokens go in the same steps.
  for (;;) {
    const granted = await steps.join(prompt.length - evaluated, signal)
    if (granted === 0) return
    if (evaluated + granted === prompt.length) break
    try {
      await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(evaluated, evaluated + granted))
    } finally {
      steps.done()
    }
    evaluated += granted
  }
  const tokenSampler = createTokenSampler(internals, sampler, logprobReader, request)
  let tokens = prompt.slice(evaluated)
  // Here the step is joined already; each round ends it and joins the next.
  for (;;) {
    const next = await internals.decode(sequence, tokens, tokenSampler.next).finally(steps.done)
    yield next
    if ((await steps.join(1, signal)) === 0) return
    tokens = asTokens([next.token])
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
function chooseBatchSize({ batchSize, slots }: LlamaEngineOptions, onCpu: boolean): number {
  return Math.max(onCpu ? Math.min(batchSize, 64) : batchSize, slots)
}

async function createContext(
  model: LlamaModel,
  { slots, contextLength, batchSize, threads }: LlamaEngineOptions,
): Promise<LlamaContext> {
  try {
    return await model.createContext({
      sequences: slots,
      contextSize: contextLength,
      batchSize,
      threads: { ideal: threads, min: threads },
      // The steps never queue more than a batch holds; the other strategy (3.21, 3.22) loses count of what it has given.
      batching: { itemPrioritizationStrategy: 'firstInFirstOut' },
      failedCreationRemedy: false,
    })
  } catch (thrown) {
    throw new EngineLoadError(
      'out_of_memory',
      `There is not enough memory for ${slots} slots of ${contextLength} tokens. Lower the slots or the context length.`,
      thrown,
    )
  }
}
