import { openAiErrors } from './api/errors.ts'
import { openApiDocument } from './api/openapi.ts'
import { chatEndpoint } from './api/chat/endpoint.ts'
import { completionsEndpoint } from './api/completions/endpoint.ts'
import { messagesErrors } from './api/messages/errors.ts'
import { messagesEndpoint } from './api/messages/endpoint.ts'
import { responsesEndpoint } from './api/responses/endpoint.ts'
import { responsesErrors } from './api/responses/errors.ts'
import { complete } from './complete.ts'
import { embed, embeddings } from './embed.ts'
import type { Endpoint } from './endpoint.ts'
import type { Exchange } from './http/exchange.ts'
import type { Route } from './http/server.ts'
import { listModels, showModel } from './list-models.ts'
import type { Gateway } from './recorded.ts'
import { showReceipt } from './show-receipt.ts'
import { rerank, rerankOperations } from './rerank.ts'
import { applyTemplate, countTokens, detokenize, serveApplyTemplate, serveCountTokens, serveDetokenize, serveTokenize, tokenize } from './tokens.ts'

/** Everything that is served, by "METHOD /path". */
export function createRoutes(gateway: Gateway): ReadonlyMap<string, Route> {
  const startedAt = Math.floor(Date.now() / 1000)
  const openai = (handle: (exchange: Exchange) => Promise<void>): Route => ({ handle, errors: openAiErrors })
  const generating = (endpoint: Endpoint): [string, Route] => [endpoint.name, openai((exchange) => complete(gateway, exchange, endpoint))]
  return new Map<string, Route>([
    generating(chatEndpoint),
    generating(completionsEndpoint),
    [responsesEndpoint.name, { handle: (exchange) => complete(gateway, exchange, responsesEndpoint), errors: responsesErrors }],
    [messagesEndpoint.name, { handle: (exchange) => complete(gateway, exchange, messagesEndpoint), errors: messagesErrors }],
    [countTokens.name, { handle: (exchange) => serveCountTokens(gateway, exchange), errors: messagesErrors }],
    [embeddings.name, openai((exchange) => embed(gateway, exchange))],
    ...rerankOperations.map((operation): [string, Route] => [operation.name, openai((exchange) => rerank(gateway, exchange, operation))]),
    ['GET /v1/models', openai((exchange) => listModels(gateway, exchange, startedAt))],
    ['GET /v1/models/*', openai((exchange) => showModel(gateway, exchange, startedAt))],
    ['GET /v1/receipts/*', openai((exchange) => showReceipt(gateway, exchange))],
    [tokenize.name, openai((exchange) => serveTokenize(gateway, exchange))],
    [detokenize.name, openai((exchange) => serveDetokenize(gateway, exchange))],
    [applyTemplate.name, openai((exchange) => serveApplyTemplate(gateway, exchange))],
    ['GET /openapi.json', openai(async (exchange) => exchange.json(200, openApiDocument()))],
  ])
}
