import { describeError } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import type { Engine } from './engines/engine.ts'
import type { RequestContext } from './generate.ts'
import type { Outcome } from './metrics.ts'
import { type Failure, failureOf } from './outcome.ts'
import { slotRequest } from './slot-request.ts'
import { validateModel } from './validation.ts'

export interface InputsRequest {
  model: string
  team: string
  inputs: readonly { tokens: readonly number[] }[]
  weight: number
  batch: boolean
}

/**
 * Waits for a slot, then works on one input after the other; between two of them other requests have their turn, and a cancel
 * takes effect. `choose` checks the request and gives what is done with each. `name` is that of the log's line. Throws the errors of the
 * contract; the signal's reason when it aborts. `workerUs` are the microseconds with the slot.
 */
export async function workOnInputs<Result>(
  name: string,
  context: RequestContext,
  request: InputsRequest,
  call: CallContext,
  choose: (engine: Engine) => (tokens: readonly number[], signal: AbortSignal) => Promise<Result>,
): Promise<{ results: Result[]; workerUs: bigint }> {
  let outcome: Outcome = 'done'
  let failure: Failure | undefined
  let inputTokens = 0
  const begin = performance.now()
  let gotSlot: number | undefined
  try {
    context.admit()
    validateModel(request.model, context.engine)
    const work = choose(context.engine)
    const slot = await context.slots.acquire(slotRequest({ ...request, tokens: [] }), call.signal)
    gotSlot = performance.now()
    const entry = context.load.enter(request.inputs.reduce((sum, { tokens }) => sum + tokens.length, 0))
    try {
      const results: Result[] = []
      for (const { tokens } of request.inputs) {
        results.push(await work(tokens, call.signal))
        inputTokens += tokens.length
        entry.done(tokens.length)
        slot.charge({ input: tokens.length })
      }
      call.signal.throwIfAborted()
      return { results, workerUs: BigInt(Math.round((performance.now() - gotSlot) * 1000)) }
    } finally {
      slot.release()
      entry.leave(undefined, undefined)
    }
  } catch (thrown) {
    failure = failureOf(thrown, call.signal)
    outcome = failure.outcome
    if (failure.byEngine) context.onEngineFailure()
    throw failure.error
  } finally {
    const { metrics, log } = context
    const now = performance.now()
    metrics.requests.inc({ outcome })
    metrics.tokens.inc({ direction: 'input' }, inputTokens)
    if (gotSlot !== undefined) metrics.queue.observe((gotSlot - begin) / 1000)
    const fields = {
      requestId: call.requestId,
      outcome,
      ...(failure === undefined ? {} : { reason: failure.error.reason }),
      inputs: request.inputs.length,
      inputTokens,
      queueUs: Math.round(((gotSlot ?? now) - begin) * 1000),
      workUs: Math.round((now - (gotSlot ?? now)) * 1000),
    }
    if (outcome === 'failed') log.error({ ...fields, err: describeError(failure?.error) }, name)
    else log.info(fields, name)
  }
}
