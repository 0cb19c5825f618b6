import { randomInt } from 'node:crypto'
import { FinishReason, type GenerateEvent, type GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { abortReason, ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { createAnswerText } from './answer-text.ts'
import type { Engine } from './engines/engine.ts'
import type { Outcome, WorkerMetrics } from './metrics.ts'
import type { Slots } from './slots.ts'
import { validateRequest } from './validation.ts'

export interface GenerateContext {
  engine: Engine
  slots: Slots
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
  /** Milliseconds by performance.now(); undefined for what has not come. */
  begin: number
  gotSlot: number | undefined
  firstToken: number | undefined
  lastToken: number | undefined
}

/**
 * One answer: waits for a slot, decodes, yields at most one delta for each decode step, then the finish. The slot is free
 * again before the finish is out, and whenever the generator ends, whatever ends it. Throws the errors of the contract; the
 * signal's reason when it aborts.
 */
export async function* generate(
  context: GenerateContext,
  request: GenerateRequest,
  call: CallContext,
): AsyncGenerator<GenerateEvent, void, undefined> {
  // What it stays when the consumer stops reading.
  const tally: Tally = {
    outcome: 'cancelled',
    outputTokens: 0,
    begin: performance.now(),
    gotSlot: undefined,
    firstToken: undefined,
    lastToken: undefined,
  }
  let failure: ServiceError | undefined
  try {
    context.admit()
    validateRequest(request, context.engine)
    const slot = await context.slots.acquire(call.signal)
    tally.gotSlot = performance.now()
    let reason: FinishReason
    try {
      reason = yield* decode(context, request, slot.index, tally, call.signal)
    } finally {
      slot.release()
    }
    tally.outcome = reason === FinishReason.STOP ? 'stop' : 'length'
    yield {
      event: {
        $case: 'finish',
        value: { reason, inputTokens: request.tokens.length, outputTokens: tally.outputTokens, ...microseconds(tally) },
      },
    }
  } catch (thrown) {
    failure = call.signal.aborted ? abortReason(call.signal) : engineError(thrown)
    tally.outcome = outcomeOf(failure, call.signal)
    if (tally.outcome === 'failed') context.onEngineFailure()
    throw failure
  } finally {
    report(context, request, call, tally, failure)
  }
}

/** Decodes in one slot and yields the deltas; returns why the answer is complete. */
async function* decode(
  { engine, metrics }: GenerateContext,
  request: GenerateRequest,
  slot: number,
  tally: Tally,
  signal: AbortSignal,
): AsyncGenerator<GenerateEvent, FinishReason, undefined> {
  const text = createAnswerText(engine.createDetokeniser(request.tokens), request.stop)
  const { tokens, temperature, topP, maxTokens, seed = randomInt(2 ** 32) } = request
  let unsent: number[] = []

  for await (const token of engine.decode({ slot, tokens, temperature, topP, seed }, signal)) {
    countToken(tally, metrics)
    unsent.push(token)
    const ended = engine.isEndOfGeneration(token)
    const last = ended || tally.outputTokens >= maxTokens
    const piece = text.push(ended ? undefined : token, last)
    if (piece.text !== '') {
      yield { event: { $case: 'delta', value: { text: piece.text, tokens: unsent } } }
      unsent = []
    }
    if (ended || piece.stopped) return FinishReason.STOP
    if (last) return FinishReason.LENGTH
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

function engineError(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError) return thrown
  return new ServiceError('UNAVAILABLE', 'engine_failed', 'The model failed in the middle of the answer. Try again.', {
    cause: thrown,
  })
}

function outcomeOf(failure: ServiceError, signal: AbortSignal): Outcome {
  if (signal.aborted) return 'cancelled'
  return failure.cause === undefined ? 'refused' : 'failed'
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
  { log, metrics }: GenerateContext,
  request: GenerateRequest,
  call: CallContext,
  tally: Tally,
  failure: ServiceError | undefined,
): void {
  const { outcome, outputTokens } = tally
  const { queueUs, prefillUs, decodeUs } = microseconds(tally)
  metrics.requests.inc({ outcome })
  if (tally.gotSlot !== undefined) metrics.queue.observe(Number(queueUs) / 1e6)
  if (tally.firstToken !== undefined) {
    metrics.prefill.observe(Number(prefillUs) / 1e6)
    metrics.tokens.inc({ direction: 'input' }, request.tokens.length)
    metrics.tokens.inc({ direction: 'output' }, outputTokens)
  }
  const fields = {
    requestId: call.requestId,
    outcome,
    ...(failure === undefined ? {} : { reason: failure.reason }),
    inputTokens: request.tokens.length,
    outputTokens,
    queueUs: Number(queueUs),
    prefillUs: Number(prefillUs),
    decodeUs: Number(decodeUs),
  }
  if (outcome === 'failed') log.error({ ...fields, err: describeError(failure) }, 'generate')
  else log.info(fields, 'generate')
}
