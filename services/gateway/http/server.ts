import { randomUUID } from 'node:crypto'
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { asServiceError, ServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import { httpsOptions, keepCertificateCurrent } from '../../shared/tls/https-options.ts'
import type { Identity } from '../../shared/tls/identity.ts'
import { type ErrorShape, openAiErrors } from '../api/errors.ts'
import { messagesErrors } from '../api/messages/errors.ts'
import { type Exchange, type ExchangeControl, openExchange } from './exchange.ts'

export interface Route {
  handle(exchange: Exchange): Promise<void>
  /** How the API that it belongs to writes its errors. */
  errors: ErrorShape
}

export interface HttpOptions {
  host: string
  port: number
  identity: Identity
  /** By "METHOD /path", or "METHOD /path/*" for everything below it. */
  routes: ReadonlyMap<string, Route>
  bodyTimeoutMs: number
  requestTimeoutMs: number
  /** How long it serves on once it is to drain, while load balancers take it out and clients are asked to connect anew. */
  drainDelayMs: number
  log: Logger
  /** Called for every answer, with the route it had or "other". */
  onAnswer(route: string, status: number, seconds: number): void
}

export interface HttpFront {
  port: number
  /** After the delay takes no more connections and requests; resolves when those under way are over, which `limitMs` enforces. */
  drain(limitMs: number): Promise<void>
  close(): void
}

/** How long answers that drain has ended may take to be recorded and written. */
const closingMs = 5000

/** HTTPS in front: routing, limits, errors in the client's shape. */
export async function startHttp(options: HttpOptions): Promise<HttpFront> {
  const server = createServer({
    ...httpsOptions(options.identity),
    handshakeTimeout: 10_000,
    headersTimeout: Math.min(10_000, options.bodyTimeoutMs),
    requestTimeout: options.bodyTimeoutMs,
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: 16 * 1024,
    noDelay: true,
    // Node's own refusal of a request without one has no body.
    requireHostHeader: false,
  })
  const stopRotation = keepCertificateCurrent(server, options.identity)
  const open = new Set<ExchangeControl>()
  let leaving = false
  let draining = false
  let emptied: (() => void) | undefined

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now()
    const { name, route } = findRoute(options.routes, request)
    const control = openExchange({ requestId: randomUUID(), request, response, errors: route.errors, timeoutMs: options.requestTimeoutMs })
    const { exchange } = control
    open.add(control)
    try {
      if (leaving) response.setHeader('connection', 'close')
      if (draining) throw new ServiceError('UNAVAILABLE', 'draining', 'This server is shutting down. Try again.')
      if (request.headers.host === undefined && request.httpVersion === '1.1') throw new ServiceError('INVALID_ARGUMENT', 'malformed_request', 'An HTTP/1.1 request must have a Host header (RFC 9112, 3.2).')
      await route.handle(exchange)
    } catch (thrown) {
      const failure = asServiceError(thrown)
      if (failure.code === 'INTERNAL') options.log.error({ requestId: exchange.requestId, route: name, err: describeError(thrown) }, 'request failed')
      exchange.fail(failure)
    } finally {
      control.close()
      open.delete(control)
      if (open.size === 0) emptied?.()
      options.onAnswer(name, response.statusCode, (performance.now() - started) / 1000)
    }
  }

  server.on('request', (request, response) => void answer(request, response))
  // RFC 9110, 10.1.1: an expectation that isn't known may be ignored.
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => void answer(request, response))
  server.on('clientError', refuseMalformed)
  await listen(server, options.host, options.port)

  return {
    port: (server.address() as AddressInfo).port,
    async drain(limitMs) {
      leaving = true
      if (options.drainDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, options.drainDelayMs))
      draining = true
      server.close()
      server.closeIdleConnections()
      const idle = (ms: number): Promise<void> =>
        open.size === 0
          ? Promise.resolve()
          : new Promise((resolve) => {
              const limit = setTimeout(resolve, ms)
              emptied = () => {
                clearTimeout(limit)
                resolve()
              }
            })
      await idle(limitMs)
      for (const control of open) control.abort(new ServiceError('UNAVAILABLE', 'draining', 'This server is shutting down. Try again.'))
      await idle(closingMs)
    },
    close() {
      stopRotation()
      server.closeAllConnections()
    },
  }
}

function findRoute(routes: ReadonlyMap<string, Route>, request: IncomingMessage): { name: string; route: Route } {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  const name = `${request.method} ${path}`
  const route = routes.get(name)
  if (route !== undefined) return { name, route }
  const methods: string[] = []
  for (const [key, candidate] of routes) {
    const [method = '', pattern = ''] = key.split(' ')
    if (pattern !== path && !(pattern.endsWith('/*') && path.startsWith(pattern.slice(0, -1)) && path.length >= pattern.length)) continue
    if (method === request.method) return { name: key, route: candidate }
    methods.push(method)
  }
  const error =
    methods.length > 0
      ? new ServiceError('INVALID_ARGUMENT', 'method_not_allowed', `This path takes ${methods.join(' and ')} only.`)
      : new ServiceError('NOT_FOUND', 'unknown_url', `There is no such path here. Served are: ${[...routes.keys()].join(', ')}.`)
  const handle = (exchange: Exchange): Promise<void> => {
    if (methods.length > 0) exchange.header('allow', methods.join(', '))
    return Promise.reject(error)
  }
  return { name: 'other', route: { handle, errors: path.startsWith('/v1/messages') ? messagesErrors : openAiErrors } }
}

/** What Node's parser refused never becomes a request: bad framing, headers too large, a body or headers that came too slowly. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const text = STATUS_CODES[status] ?? 'Bad Request'
  const body = JSON.stringify({ error: { message: `${text}: the request is not well-formed HTTP/1.1.`, type: 'invalid_request_error', param: null, code: 'malformed_request' } })
  socket.end(`HTTP/1.1 ${status} ${text}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroy())
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
