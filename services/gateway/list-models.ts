import { ServiceError } from '../shared/errors.ts'
import { modelObject } from './api/models.ts'
import { identify } from './authenticate.ts'
import type { Exchange } from './http/exchange.ts'
import { type Gateway, requireModel } from './recorded.ts'

/** GET /v1/models: those that the team may use. */
export async function listModels(gateway: Gateway, exchange: Exchange, startedAt: number): Promise<void> {
  const principal = identify(gateway, exchange, 'GET /v1/models')
  const ids = [...gateway.models.keys()].filter((id) => principal.mayUse(id))
  const data = await Promise.all(ids.map((id) => describeModel(gateway, exchange, id, startedAt)))
  exchange.json(200, JSON.stringify({ object: 'list', data }))
}

/** GET /v1/models/{id}. An id may hold slashes, as they are or percent-encoded. */
export async function showModel(gateway: Gateway, exchange: Exchange, startedAt: number): Promise<void> {
  const principal = identify(gateway, exchange, 'GET /v1/models/{model}')
  const path = (exchange.request.url ?? '').split('?', 1)[0] ?? ''
  const id = decoded(path.slice('/v1/models/'.length))
  requireModel(gateway, principal, id)
  exchange.json(200, JSON.stringify(await describeModel(gateway, exchange, id, startedAt)))
}

async function describeModel(gateway: Gateway, { signal }: Exchange, id: string, startedAt: number): Promise<object> {
  const entry = gateway.models.get(id)
  const description = (await gateway.descriptions.all(signal)).get(id)
  if (entry === undefined || description === undefined) throw new ServiceError('UNAVAILABLE', 'no_worker', 'The model is not available at the moment. Try again soon.', { retryAfterMs: 2000 })
  return modelObject(entry, description, startedAt)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}
