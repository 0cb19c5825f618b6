import { randomInt } from 'node:crypto'
import { FinishReason, type GenerateEvent, type GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
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
}

/** Milliseconds, by performance.now(). */
interface Times {
  begin: number
  slot?: number
  firstToken?: number
  lastToken?: number
}

interface Tally {
  outcome: Outcome
  reason?: string
  outputTokens: number
  times: Times
}

/**
 * One answer: waits for a slot, decodes, and yields at most one event for each decode step, then the finish. The slot is free again when the
 * generator has ended, whatever ended it. Errors: those of the contract, and the signal's reason when it aborts.
 */
export async function* generate(context: GenerateContext, request: GenerateRequest, call: CallContext): AsyncGenerator<GenerateEvent, void, undefined> {
  const tally: Tally = { outcome: 'cancelled', outputTokens: 0, times: { begin: performance.now() } }
  try {
    validateRequest(request, context.engine)
    const slot = await context.slots.acquire(call.signal)
    try {
      tally.times.slot = performance.now()
      yield* answer(context, request, slot.index, tally, call.signal)
    } finally {
      slot.release()
    }
  } catch (thrown) {
    const failure = call.signal.aborted ? aborted(call.signal) : asEngineFailure(thrown)
    tally.reason = failure.reason
    tally.outcome = outcomeOf(failure, call.signal)
    throw failure
  } finally {
    report(context, request, call, tally)
  }
}

async function* answer(
  { engine, metrics }: GenerateContext,
  request: GenerateRequest,
  slot: number,
  tally: Tally,
  signal: AbortSignal,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const text = createAnswerText(engine.createDetokeniser(request.tokens), request.stop)
  const { times } = tally
  let pending: number[] = []
  let reason: FinishReason = FinishReason.UNSPECIFIED

  const { tokens, temperature, topP, seed = randomInt(2 ** 32) } = request
  for await (const token of engine.decode({ slot, tokens, temperature, topP, seed }, signal)) {
    // A cancel comes through here even when the token was already on its way.
    if (signal.aborted) break
    tally.outputTokens += 1
    const now = performance.now()
    if (times.lastToken === undefined) times.firstToken = now
    else metrics.interToken.observe((now - times.lastToken) / 1000)
    times.lastToken = now

    pending.push(token)
    const ended = engine.isEndOfGeneration(token)
    const piece = ended ? { text: '', stopped: true } : text.push(token)
    if (piece.stopped) reason = FinishReason.STOP
    else if (tally.outputTokens >= request.maxTokens) reason = FinishReason.LENGTH

    if (piece.text !== '' && (reason === FinishReason.UNSPECIFIED || !ended)) {
      yield { event: { $case: 'delta', value: { text: piece.text, tokens: pending } } }
      pending = []
    }
    if (reason !== FinishReason.UNSPECIFIED) {
      if (ended || !piece.stopped) {
        const rest = text.end()
        if (rest.stopped) reason = FinishReason.STOP
        if (rest.text !== '') yield { event: { $case: 'delta', value: { text: rest.text, tokens: pending } } }
      }
      break
    }
  }
  if (signal.aborted) throw signal.reason
  if (reason === FinishReason.UNSPECIFIED) throw new Error('the engine ended without an end')
  tally.outcome = reason === FinishReason.STOP ? 'stop' : 'length'
  yield { event: { $case: 'finish', value: finish(request, reason, tally) } }
}
