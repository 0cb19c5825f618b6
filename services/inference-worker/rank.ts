import type { RankRequest, RankResponse } from '../../proto/gen/intramuros/v1/inference.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import type { RequestContext } from './generate.ts'
import { workOnInputs } from './inputs.ts'
import { invalid, validateRank } from './validation.ts'

/** One score for each input. */
export async function rank(context: RequestContext, request: RankRequest, call: CallContext): Promise<RankResponse> {
  const { results, workerUs } = await workOnInputs('rank', context, request, call, (engine) => {
    if (engine.kind !== 'ranking') throw invalid('not_a_reranking_model', 'This model does not score documents.', 'model')
    validateRank(request, engine)
    return async (tokens, signal) => checked(await engine.rank(tokens, signal))
  })
  return { scores: results, workerUs }
}

/** Throws when the engine gave no score. */
export function checked(score: number): number {
  if (!(score >= 0 && score <= 1)) throw new Error('the engine gave no score')
  return score
}
