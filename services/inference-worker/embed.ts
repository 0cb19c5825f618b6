import type { EmbedRequest, EmbedResponse } from '../../proto/gen/intramuros/v1/inference.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import type { RequestContext } from './generate.ts'
import { workOnInputs } from './inputs.ts'
import { invalid, validateEmbed } from './validation.ts'

/** One vector for each input. */
export async function embed(context: RequestContext, request: EmbedRequest, call: CallContext): Promise<EmbedResponse> {
  const { results, workerUs } = await workOnInputs('embed', context, request, call, (engine) => {
    if (engine.kind !== 'embedding') {
      const does = engine.kind === 'ranking' ? 'scores documents' : 'generates text'
      throw invalid('not_an_embedding_model', `This model ${does}; it makes no embeddings.`, 'model')
    }
    validateEmbed(request, engine)
    return async (tokens, signal) => ({ values: normalise(await engine.embed(tokens, signal)) })
  })
  return { embeddings: results, workerUs }
}

/** To length 1. Throws when the engine gave no vector that has a direction. */
export function normalise(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector)
  if (!(length > 0 && length < Number.POSITIVE_INFINITY)) throw new Error('the engine gave no vector')
  return vector.map((value) => value / length)
}
