import { Agent, type IncomingMessage, request } from 'node:http'
import type { PodAddress } from '../../../shared/config/pod-address.ts'
import { createEventReader } from './server-sent-events.ts'
import { statusError, UpstreamError } from './upstream-error.ts'

export interface HttpClientOptions {
  address: PodAddress
  apiKey: string | undefined
}

export interface Exchange {
  method: 'GET' | 'POST'
  path: string
  /** Sent as JSON. */
  body?: unknown
  /** Ends the request at once; what is thrown then is of no meaning. */
  signal: AbortSignal
}

export interface StreamLimits {
  /** From the request to the first event. */
  firstMs: number
  /** Between two events in which there was something to read. */
  idleMs: number
}

/** HTTP/1.1 to one server of the pod. Everything is bounded; everything that goes wrong is an UpstreamError. */
export interface HttpClient {
  /** The body of a 2xx. */
  text(exchange: Exchange, limitMs: number): Promise<string>
  /** The same, parsed. */
  json(exchange: Exchange, limitMs: number): Promise<unknown>
  /**
   * What is read from the parsed data of the server-sent events of a 200, until "[DONE]" or the end; or of its body where that is JSON. The
   * connection is closed when the caller stops reading.
   */
  events<T>(exchange: Exchange, limits: StreamLimits, read: (event: unknown) => readonly T[]): AsyncGenerator<T, void, undefined>
  close(): void
}

const maxBodyBytes = 64 * 2 ** 20
const maxEventBytes = 8 * 2 ** 20

export function createHttpClient({ address, apiKey }: HttpClientOptions): HttpClient {
  const agent = new Agent({ keepAlive: true })
  const headers = { accept: 'application/json, text/event-stream', host: 'localhost', ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }) }

  /** Resolves with the headers. The response ends when the signal aborts. */
  async function begin(exchange: Exchange, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      return await attempt(exchange, signal)
    } catch (thrown) {
      // The server has closed a connection that lay idle just when it was used again; it has not seen the request.
      if (thrown instanceof StaleConnection && !signal.aborted) return await attempt(exchange, signal)
      throw thrown
    }
  }

  function attempt({ method, path, body }: Exchange, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
      const sent = request({
        ...address,
        agent,
        method,
        path,
        signal,
        headers: bytes === undefined ? headers : { ...headers, 'content-type': 'application/json', 'content-length': bytes.length },
      })
      sent.once('response', (response) => {
        // Told to whoever reads; without a listener it would end the process.
        response.on('error', () => undefined)
        resolve(response)
      })
      sent.on('error', (error: NodeJS.ErrnoException) => {
        const isStale = sent.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        reject(isStale ? new StaleConnection('unreachable', 'The connection was closed.') : new UpstreamError('unreachable', "The model's server can't be reached."))
      })
      sent.end(bytes)
    })
  }

  async function text(exchange: Exchange, limitMs: number): Promise<string> {
    using limit = createLimit(exchange.signal, limitMs)
    try {
      const response = await begin(exchange, limit.signal)
      const status = response.statusCode ?? 0
      const body = await readBody(response)
      if (status < 200 || status > 299) throw statusError(status)
      return body
    } catch (thrown) {
      throw limit.explain(thrown)
    }
  }

  return {
    text,
    json: async (exchange, limitMs) => parse(await text(exchange, limitMs)),
    async *events(exchange, { firstMs, idleMs }, read) {
      using limit = createLimit(exchange.signal, firstMs)
      let response: IncomingMessage | undefined
      try {
        response = await begin(exchange, limit.signal)
        if (response.statusCode !== 200) throw statusError(response.statusCode ?? 0)
        if (/^application\/json\b/.test(response.headers['content-type'] ?? '')) {
          const items = read(parse(await readBody(response)))
          limit.pause()
          yield* items
          return
        }
        const reader = createEventReader(maxEventBytes)
        for await (const chunk of response as AsyncIterable<Buffer>) {
          for (const data of reader.push(chunk)) {
            if (data === '[DONE]') return
            const items = read(parse(data))
            if (items.length === 0) continue
            limit.restart(idleMs)
            limit.pause()
            yield* items
            limit.resume()
          }
        }
      } catch (thrown) {
        throw limit.explain(thrown)
      } finally {
        // Also what is left of a good answer: a connection is used again only when all of it was read.
        if (response?.complete !== true) response?.destroy()
      }
    },
    close: () => agent.destroy(),
  }
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBodyBytes) throw new UpstreamError('too_large', "An answer of the model's server is too large.")
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

class StaleConnection extends UpstreamError {}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    // Not the error of the parser, which quotes the text.
    throw new UpstreamError('malformed', "The model's server sent what is no JSON.")
  }
}

/** A signal that aborts with another one or when a time is over. */
interface Limit extends Disposable {
  readonly signal: AbortSignal
  restart(ms: number): void
  /** While the consumer works on what it has, the server is not waited for, and no time passes. */
  pause(): void
  resume(): void
  /** What an error that was thrown meanwhile means. */
  explain(thrown: unknown): unknown
}

function createLimit(source: AbortSignal, ms: number): Limit {
  const controller = new AbortController()
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  let deadline = 0
  let leftMs = ms
  const end = (): void => {
    isOver = true
    controller.abort()
  }
  const pass = (): void => controller.abort()
  const start = (): void => {
    clearTimeout(timer)
    deadline = performance.now() + leftMs
    timer = setTimeout(end, leftMs)
  }
  if (source.aborted) pass()
  else source.addEventListener('abort', pass, { once: true })
  start()
  return {
    signal: controller.signal,
    restart(ms) {
      leftMs = ms
      start()
    },
    pause() {
      clearTimeout(timer)
      leftMs = Math.max(0, deadline - performance.now())
    },
    resume: start,
    explain(thrown) {
      if (isOver) return new UpstreamError('timeout', "The model's server did not answer in time.")
      return thrown instanceof UpstreamError ? thrown : new UpstreamError('broken_off', "The model's server broke off in the middle of its answer.")
    },
    [Symbol.dispose]() {
      clearTimeout(timer)
      source.removeEventListener('abort', pass)
    },
  }
}
