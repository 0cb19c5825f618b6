import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import { parseRerankRequest, RerankBody, type RerankRequest } from './api/rerank/request.ts'
import { reranking } from './api/rerank/response.ts'
import type { Exchange } from './http/exchange.ts'
import { inBatches } from './in-batches.ts'
import { type Gateway, type Job, type Operation, serveRecorded } from './recorded.ts'
import { servedBy } from './tally.ts'

/** Cohere's clients know it under /v1 and /v2, llama-server and vLLM under no version too. */
export const rerankOperations: readonly Operation[] = ['/v1/rerank', '/v2/rerank', '/rerank'].map((path) => ({ name: `POST ${path}`, kind: 'rerank', schema: RerankBody }))

const tokenizeTimeoutMs = 30_000
/** How well some documents answer a query. */
export function rerank(gateway: Gateway, exchange: Exchange, operation: Operation): Promise<void> {
  return serveRecorded(gateway, exchange, operation, (json) => {
    const request = parseRerankRequest(json)
    const { model, unknown } = request
    return {
      model,
      stream: false,
      unknown,
      attributes: () => ({ 'gen_ai.provider.name': 'intramuros', 'gen_ai.request.model': model }),
      run: (job) => rankAll(gateway, exchange, request, job),
    }
  })
}

async function rankAll(gateway: Gateway, exchange: Exchange, request: RerankRequest, job: Job): Promise<() => void> {
  const { model, query, documents } = request
  const { call, tally, principal } = job
  const description = (await gateway.descriptions.all(call.signal)).get(model)
  if (description?.rerank !== true) {
    throw new ServiceError('INVALID_ARGUMENT', 'unsupported_model', 'This model does not rerank. GET /v1/models tells which do.', { param: 'model' })
  }
  const { pairs } = await gateway.tokenizer.unary(TokenizerService.preparePairs, { model, query, documents }, { ...call, timeoutMs: tokenizeTimeoutMs })
  const inputs = pairs.map(({ ids }) => ({ tokens: ids }))
  for (const { tokens } of inputs) tally.inputTokens += tokens.length
  const scores = await inBatches(inputs, async (batch) => {
    const { scores: part, workerUs } = await gateway.workers.rank({ model, team: principal.team, inputs: batch }, call, servedBy(tally))
    tally.workerUs += workerUs
    return part
  })
  const body = reranking(request, scores, tally.inputTokens, exchange.requestId)
  await job.durable
  tally.finishReason = 'stop'
  tally.answerBytes = Buffer.byteLength(body)
  return () => exchange.json(200, body)
}
