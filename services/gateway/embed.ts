import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { EmbeddingsBody, type EmbeddingsRequest, parseEmbeddingsRequest } from './api/embeddings/request.ts'
import { embeddingList } from './api/embeddings/response.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Exchange } from './http/exchange.ts'
import { inBatches } from './in-batches.ts'
import { type Gateway, type Job, type Operation, serveRecorded } from './recorded.ts'
import { servedBy } from './tally.ts'

export const embeddings: Operation = { name: 'POST /v1/embeddings', kind: 'embeddings', schema: EmbeddingsBody }

const tokenizeTimeoutMs = 30_000
/** The embeddings of some texts. */
export function embed(gateway: Gateway, exchange: Exchange): Promise<void> {
  return serveRecorded(gateway, exchange, embeddings, (json) => {
    const request = parseEmbeddingsRequest(json)
    const { model, unknown } = request
    return {
      model,
      stream: false,
      unknown,
      attributes: () => ({ 'gen_ai.provider.name': 'intramuros', 'gen_ai.request.model': model }),
      run: (job) => embedAll(gateway, exchange, request, job),
    }
  })
}

async function embedAll(gateway: Gateway, exchange: Exchange, request: EmbeddingsRequest, job: Job): Promise<() => void> {
  const { model } = request
  const { call, tally, principal } = job
  const description = (await gateway.descriptions.all(call.signal)).get(model)
  if (description?.embedding !== true) {
    throw new ServiceError('INVALID_ARGUMENT', 'unsupported_model', 'This model gives no embeddings. GET /v1/models tells which do.', { param: 'model' })
  }
  const inputs = await tokensOf(gateway, request, description.contextLength, job)
  for (const { tokens } of inputs) tally.inputTokens += tokens.length
  const vectors = await inBatches(inputs, async (batch) => {
    const { embeddings: part, workerUs } = await gateway.workers.embed({ model, team: principal.team, inputs: batch }, call, servedBy(tally))
    tally.workerUs += workerUs
    return part.map(({ values }) => values)
  })
  const body = embeddingList(request, vectors, tally.inputTokens)
  await job.durable
  tally.finishReason = 'stop'
  tally.answerBytes = Buffer.byteLength(body)
  return () => exchange.json(200, body)
}

async function tokensOf(gateway: Gateway, { model, inputs }: EmbeddingsRequest, contextLength: number, { call }: Job): Promise<{ tokens: number[] }[]> {
  if ('tokens' in inputs) {
    const index = inputs.tokens.findIndex((tokens) => tokens.length > contextLength)
    if (index >= 0) throw tooLong(contextLength, inputs.tokens[index]?.length ?? 0, index)
    return inputs.tokens.map((tokens) => ({ tokens }))
  }
  const request = { model, texts: inputs.texts, addSpecial: true, limited: true }
  const { lists } = await gateway.tokenizer.unary(TokenizerService.tokenize, request, { ...call, timeoutMs: tokenizeTimeoutMs })
  return lists.map(({ ids }) => ({ tokens: ids }))
}

function tooLong(contextLength: number, tokens: number, index: number): ServiceError {
  const text = `This model's maximum context length is ${contextLength} tokens. However, input ${index} has ${tokens} tokens.`
  return new ServiceError('INVALID_ARGUMENT', 'context_length_exceeded', text, { param: 'input' })
}
