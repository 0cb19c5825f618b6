import { randomInt } from 'node:crypto'
import {
  FinishReason,
  type Finish,
  type GenerateEvent,
  type GenerateRequest,
  type Sampling,
} from '../../proto/gen/intramuros/v1/inference.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { type Answer, createAnswer } from './answer.ts'
import type { Constraints } from './constraints.ts'
import type { DecodedToken, DecodeRequest, Engine, GeneratingEngine, RemoteEnd, RemoteEngine, Sampling as EngineSampling } from './engines/engine.ts'
import type { Outcome, WorkerMetrics } from './metrics.ts'
import { type Failure, failureOf } from './outcome.ts'
import { decodeRemotely } from './remote-decode.ts'
import type { WorkerLoad } from './load.ts'
import { slotRequest } from './slot-request.ts'
import type { Slot, Slots } from './slots.ts'
import { invalid, validateGenerate, validateModel } from './validation.ts'

export interface RequestContext {
  engine: Engine
  slots: Slots
  load: WorkerLoad
  log: Logger
  metrics: WorkerMetrics
  /** Throws while no new request is taken. */
  admit(): void
  /** Told when the engine threw. */
  onEngineFailure(): void
}

interface Tally {
  outcome: Outcome
  outputTokens: number
  /** Of the prompt, not evaluated: the slot held them. */
  cachedTokens: number
  /** Milliseconds by performance.now(); undefined for what has not come. */
  begin: number
  gotSlot: number | undefined
  firstToken: number | undefined
  lastToken: number | undefined
}

/** What ended an answer. */
type End = Pick<Finish, 'reason' | 'stopSequence' | 'reasoningTokens'>

/**
 * One answer: waits for a slot, decodes, yields at most one delta for each decode step, then the finish. The slot is free
 * again before the finish is out, and whenever the generator ends, whatever ends it. Throws the errors of the contract; the
 * signal's reason when it aborts.
 */
export async function* generate(
  context: RequestContext,
  constraints: Constraints | undefined,
  request: GenerateRequest,
  call: CallContext,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const { slots, onEngineFailure } = context
  // What it stays when the consumer stops reading.
  const tally: Tally = {
    outcome: 'cancelled',
    outputTokens: 0,
    cachedTokens: 0,
    begin: performance.now(),
    gotSlot: undefined,
    firstToken: undefined,
    lastToken: undefined,
  }
  let failure: Failure | undefined
  try {
    context.admit()
    validateModel(request.model, context.engine)
    const engine = generating(context.engine)
    const sampling = validateGenerate(request, engine)
    const constraint = constraints?.create(request)
    const slot = await slots.acquire(slotRequest(request), call.signal)
    const work = begin(context, slot, request, tally)
    let end: End
    try {
      const answer = createAnswer(engine.texts, request, constraint)
      const decoded = decode(engine, slot, request, engineSampling(engine, sampling), answer, call.signal)
      end = yield* read(engine, decoded, answer, tally, request.maxTokens, work.took)
    } finally {
      slot.release(work.evaluated(engine.held(slot.index)))
      work.end()
    }
    tally.outcome = end.reason === FinishReason.STOP ? 'stop' : 'length'
    yield {
      event: {
        $case: 'finish',
        value: { ...end, inputTokens: request.tokens.length, outputTokens: tally.outputTokens, cachedTokens: tally.cachedTokens, ...microseconds(tally) },
      },
    }
  } catch (thrown) {
    failure = failureOf(thrown, call.signal)
    tally.outcome = failure.outcome
    if (failure.byEngine) onEngineFailure()
    throw failure.error
  } finally {
    report(context, request, call, tally, failure)
  }
}

function generating(engine: Engine): GeneratingEngine | RemoteEngine {
  if (engine.kind === 'generating' || engine.kind === 'remote') return engine
  const does = engine.kind === 'ranking' ? 'scores documents' : 'makes embeddings'
  throw invalid('not_a_generating_model', `This model ${does}; it can not generate text.`, 'model')
}

/** Keeps account of a request that has got its slot: of what it takes from the others' share, and of what its slot holds. */
function begin({ engine, load, metrics }: RequestContext, slot: Slot, { tokens, maxTokens }: GenerateRequest, tally: Tally) {
  // How much a server elsewhere has kept of it, it tells only when it has evaluated the rest.
  const keep = engine.kind === 'remote' ? 0 : slot.keep
  const fresh = tokens.length - keep
  const entry = load.enter(fresh + maxTokens)
  const answer: number[] = []
  tally.gotSlot = performance.now()
  tally.cachedTokens = keep
  slot.charge({ input: fresh })
  return {
    took(token: number): void {
      if (answer.length === 0) entry.done(fresh)
      answer.push(token)
      entry.done(1)
      slot.charge({ output: 1 })
      countToken(tally, metrics)
    },
    /** The first tokens of prompt and answer. */
    evaluated: (count: number): number[] => [...tokens, ...answer].slice(0, count),
    end(): void {
      const { gotSlot = 0, firstToken, lastToken, outputTokens } = tally
      if (firstToken === undefined || lastToken === undefined) entry.leave(undefined, undefined)
      else entry.leave({ tokens: fresh, ms: firstToken - gotSlot }, { tokens: outputTokens - 1, ms: lastToken - firstToken })
    },
  }
}

function engineSampling({ vocabularySize }: GeneratingEngine | RemoteEngine, sampling: Sampling): EngineSampling {
  const logitBias = new Map(Object.entries(sampling.logitBias).map(([token, bias]) => [Number(token), bias]))
  const topK = sampling.topK < vocabularySize ? sampling.topK : 0
  return { ...sampling, topK, logitBias, seed: sampling.seed ?? randomInt(2 ** 32) }
}

function decode(
  engine: GeneratingEngine | RemoteEngine,
  slot: Slot,
  request: GenerateRequest,
  sampling: EngineSampling,
  { guide }: Answer,
  signal: AbortSignal,
): AsyncIterable<DecodedToken | RemoteEnd> {
  if (engine.kind === 'generating') {
    const { index, keep, share } = slot
    const { tokens, topLogprobs } = request
    const decodeRequest: DecodeRequest = { slot: index, tokens, keep, share, sampling, guide, topLogprobs }
    return engine.decode(decodeRequest, signal)
  }
  return decodeRemotely({ engine, slot: slot.index, request, sampling, guide }, signal)
}

/** Reads the tokens and yields the deltas; returns why the answer is complete. */
async function* read(
  engine: GeneratingEngine | RemoteEngine,
  tokens: AsyncIterable<DecodedToken | RemoteEnd>,
  answer: Answer,
  tally: Tally,
  maxTokens: number,
  took: (token: number) => void,
): AsyncGenerator<GenerateEvent, End, undefined> {
  for await (const decoded of tokens) {
    if ('ended' in decoded) {
      tally.outputTokens += decoded.untold
      const { delta, stop } = answer.end(decoded.ended)
      if (delta !== undefined) yield { event: { $case: 'delta', value: delta } }
      const reason = decoded.ended === 'turn' || stop !== undefined ? FinishReason.STOP : FinishReason.LENGTH
      return { reason, stopSequence: stop, reasoningTokens: answer.reasoningTokens }
    }
    took(decoded.token)
    const turnEnded = engine.isEndOfGeneration(decoded.token)
    const last = turnEnded ? 'turn' : tally.outputTokens >= maxTokens ? 'limit' : undefined
    const { delta, stop } = answer.push(decoded, last)
    if (delta !== undefined) yield { event: { $case: 'delta', value: delta } }
    if (last === undefined && stop === undefined) continue
    const reason = turnEnded || stop !== undefined ? FinishReason.STOP : FinishReason.LENGTH
    return { reason, stopSequence: stop, reasoningTokens: answer.reasoningTokens }
  }
  // After an abort, too; the caller tells them apart.
  throw new Error('the engine stopped in the middle of an answer')
}

function countToken(tally: Tally, metrics: WorkerMetrics): void {
  const now = performance.now()
  tally.outputTokens += 1
  tally.firstToken ??= now
  if (tally.lastToken !== undefined) metrics.interToken.observe((now - tally.lastToken) / 1000)
  tally.lastToken = now
}

/** The three phases; one that was not reached is 0. */
function microseconds({ begin, gotSlot, firstToken, lastToken }: Tally): {
  queueUs: bigint
  prefillUs: bigint
  decodeUs: bigint
} {
  const between = (from: number | undefined, to: number | undefined): bigint =>
    BigInt(from === undefined || to === undefined ? 0 : Math.round((to - from) * 1000))
  return { queueUs: between(begin, gotSlot), prefillUs: between(gotSlot, firstToken), decodeUs: between(firstToken, lastToken) }
}

/** The business event: one line and the counters. Counts and times only. */
function report(
  { log, metrics }: RequestContext,
  request: GenerateRequest,
  call: CallContext,
  tally: Tally,
  failure: Failure | undefined,
): void {
  const { outcome, outputTokens } = tally
  const { queueUs, prefillUs, decodeUs } = microseconds(tally)
  metrics.requests.inc({ outcome })
  if (tally.gotSlot !== undefined) metrics.queue.observe(Number(queueUs) / 1e6)
  if (tally.firstToken !== undefined) {
    metrics.prefill.observe(Number(prefillUs) / 1e6)
    metrics.tokens.inc({ direction: 'input' }, request.tokens.length - tally.cachedTokens)
    metrics.tokens.inc({ direction: 'cached' }, tally.cachedTokens)
    metrics.tokens.inc({ direction: 'output' }, outputTokens)
  }
  const fields = {
    requestId: call.requestId,
    outcome,
    ...(failure === undefined ? {} : { reason: failure.error.reason }),
    inputTokens: request.tokens.length,
    cachedTokens: tally.cachedTokens,
    outputTokens,
    queueUs: Number(queueUs),
    prefillUs: Number(prefillUs),
    decodeUs: Number(decodeUs),
  }
  if (outcome === 'failed') log.error({ ...fields, err: describeError(failure?.error) }, 'generate')
  else log.info(fields, 'generate')
}
