import type { EmbedRequest, EmbedResponse } from '../../proto/gen/intramuros/v1/inference.ts'
import { describeError } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import type { EmbeddingEngine, Engine } from './engines/engine.ts'
import type { RequestContext } from './generate.ts'
import type { Outcome } from './metrics.ts'
import { type Failure, failureOf } from './outcome.ts'
import { invalid, validateEmbed, validateModel } from './validation.ts'

/**
 * Waits for a slot, then embeds one input after the other; between two of them other requests have their turn, and a cancel
 * takes effect. Throws the errors of the contract; the signal's reason when it aborts.
 */
export async function embed(context: RequestContext, request: EmbedRequest, call: CallContext): Promise<EmbedResponse> {
  let outcome: Outcome = 'done'
  let failure: Failure | undefined
  let inputTokens = 0
  const begin = performance.now()
  let gotSlot: number | undefined
  try {
    context.admit()
    validateModel(request.model, context.engine)
    const engine = embedding(context.engine)
    validateEmbed(request, engine)
    const slot = await context.slots.acquire({ team: request.team, weight: 1, batch: false, tokens: [] }, call.signal)
    gotSlot = performance.now()
    try {
      const embeddings: EmbedResponse['embeddings'] = []
      for (const { tokens } of request.inputs) {
        embeddings.push({ values: normalise(await engine.embed(tokens, call.signal)) })
        inputTokens += tokens.length
        slot.charge({ input: tokens.length })
      }
      call.signal.throwIfAborted()
      return { embeddings }
    } finally {
      slot.release()
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
      embedUs: Math.round((now - (gotSlot ?? now)) * 1000),
    }
    if (outcome === 'failed') log.error({ ...fields, err: describeError(failure?.error) }, 'embed')
    else log.info(fields, 'embed')
  }
}

function embedding(engine: Engine): EmbeddingEngine {
  if (engine.kind === 'embedding') return engine
  throw invalid('not_an_embedding_model', 'This model generates text; it makes no embeddings.', 'model')
}

/** To length 1. Throws when the engine gave no vector that has a direction. */
export function normalise(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector)
  if (!(length > 0 && length < Number.POSITIVE_INFINITY)) throw new Error('the engine gave no vector')
  return vector.map((value) => value / length)
}
