import { ServiceError } from '../shared/errors.ts'
import { identify } from './authenticate.ts'
import type { Exchange } from './http/exchange.ts'
import type { Gateway } from './recorded.ts'

const prefix = '/v1/receipts/'

/** GET /v1/receipts/{request-id}: what shows that a request of the team's own was recorded. Others' and unknown ones read the same. */
export async function showReceipt(gateway: Gateway, exchange: Exchange): Promise<void> {
  const { team } = identify(gateway, exchange, `GET ${prefix}{request-id}`)
  const { requestId, request, signal } = exchange
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  const asked = path.slice(prefix.length)
  // What is no id of ours is of nobody; an id is never percent-encoded.
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(asked)) throw new ServiceError('NOT_FOUND', 'receipt_not_found', receiptNotFound)
  exchange.header('cache-control', 'private, no-cache')
  exchange.text(200, await gateway.receipts.of(asked, team, { requestId, signal }))
}

/** As the ledger says it. */
export const receiptNotFound = 'There is no receipt of this request: it is not known, older than records are kept, or not one of your team.'
