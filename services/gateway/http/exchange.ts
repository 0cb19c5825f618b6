import type { IncomingMessage, ServerResponse } from 'node:http'
import { ServiceError } from '../../shared/errors.ts'
import { type ErrorShape, httpStatus, retryAfterSeconds } from '../api/errors.ts'

/** A client that reads nothing for this long is cut off: its slot is wanted by others. */
const stalledReaderMs = 30_000

/** One HTTP request and its answer, as the request path sees them. */
export interface Exchange {
  /** Chosen here, sent back as x-request-id and request-id, joins the logs of all services. */
  requestId: string
  request: IncomingMessage
  /** Aborts when the client goes away, the request takes too long, or the gateway stops. */
  signal: AbortSignal
  header(name: string, value: string): void
  /** A whole answer. */
  json(status: number, body: string): void
  /** A whole answer that is plain text. */
  text(status: number, body: string): void
  /** Starts a stream of server-sent events. */
  startEvents(): void
  /** Writes to the stream; waits while the client does not keep up. */
  write(text: string): Promise<void> | undefined
  end(): void
  /**
   * Told of each text of the answer before it leaves, as it leaves; whoever writes waits for what it answers. Undefined: nobody wants to know.
   * Errors that are an answer of their own are not told.
   */
  copy: ((text: string) => Promise<void> | undefined) | undefined
  /** Runs `write`, and keeps back what it sends until `release`. */
  hold(write: () => void): { release(): void }
  /** How the API of this request writes its errors; an answer that numbers its events puts its own in the place of it. */
  errors: ErrorShape
  /** An error in the client's shape: as a status if nothing was sent yet, else as the stream's last event. */
  fail(error: ServiceError): void
}

export interface ExchangeControl {
  exchange: Exchange
  abort(reason: ServiceError): void
  /** Forgets timers and listeners. */
  close(): void
}

export interface ExchangeOptions {
  requestId: string
  request: IncomingMessage
  response: ServerResponse
  errors: ErrorShape
  timeoutMs: number
}

export function openExchange({ requestId, request, response, errors, timeoutMs }: ExchangeOptions): ExchangeControl {
  const controller = new AbortController()
  const { signal } = controller
  const abort = (reason: ServiceError): void => controller.abort(reason)
  const timeout = setTimeout(() => abort(new ServiceError('DEADLINE_EXCEEDED', 'request_timed_out', 'The request took longer than this server allows.')), timeoutMs)
  const onClose = (): void => {
    if (!response.writableFinished) abort(new ServiceError('CANCELLED', 'cancelled', 'The client went away.'))
  }
  response.on('close', onClose)
  response.setHeader('x-request-id', requestId)
  // Anthropic's name for it.
  response.setHeader('request-id', requestId)

  /** What is kept back, in its order; undefined: nothing is. */
  let held: (() => void)[] | undefined

  function send(run: () => void): void {
    if (held === undefined) run()
    else held.push(run)
  }

  function whole(status: number, type: string, body: string): void {
    const bytes = Buffer.from(body)
    response.writeHead(status, { 'content-type': type, 'content-length': bytes.length }).end(bytes)
  }

  function copied(status: number, type: string, body: string): void {
    exchange.copy?.(body)?.catch(() => undefined) // told again at the end of the copy
    send(() => whole(status, type, body))
  }

  function write(text: string): Promise<void> | undefined {
    return response.write(text) ? undefined : drained(response, signal, abort)
  }

  const exchange: Exchange = {
    requestId,
    request,
    signal,
    errors,
    copy: undefined,
    hold(run) {
      const kept: (() => void)[] = []
      held = kept
      try {
        run()
      } finally {
        held = undefined
      }
      return { release: () => kept.forEach((sendNow) => sendNow()) }
    },
    header: (name, value) => void response.setHeader(name, value),
    json: (status, body) => copied(status, 'application/json', body),
    text: (status, body) => copied(status, 'text/plain; charset=utf-8', body),
    startEvents() {
      send(() => response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' }))
    },
    write(text) {
      const kept = exchange.copy?.(text)
      if (held !== undefined) {
        kept?.catch(() => undefined) // told again at the end of the copy
        held.push(() => void write(text)?.catch(() => undefined)) // a client that left has its record already
        return undefined
      }
      const written = write(text)
      return kept === undefined ? written : Promise.all([kept, written]).then(() => undefined)
    },
    end() {
      send(() => response.end())
    },
    fail(error) {
      if (response.destroyed || response.writableEnded) return
      if (response.headersSent) {
        response.end(exchange.errors.event(error, requestId))
        return
      }
      const retryAfter = retryAfterSeconds(error)
      if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter)
      // What is left of a body that was not read would be taken for the next request.
      if (!request.complete) response.setHeader('connection', 'close')
      whole(httpStatus(error), 'application/json', exchange.errors.body(error, requestId))
    },
  }
  return {
    exchange,
    abort,
    close() {
      clearTimeout(timeout)
      response.off('close', onClose)
    },
  }
}

function drained(response: ServerResponse, signal: AbortSignal, abort: (reason: ServiceError) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const stalled = setTimeout(() => {
      abort(new ServiceError('CANCELLED', 'client_stalled', 'The client stopped reading.'))
      response.destroy()
    }, stalledReaderMs)
    const settle = (): void => {
      clearTimeout(stalled)
      response.off('drain', settle)
      signal.removeEventListener('abort', settle)
      if (signal.aborted) reject(signal.reason as Error)
      else resolve()
    }
    response.once('drain', settle)
    signal.addEventListener('abort', settle, { once: true })
  })
}
