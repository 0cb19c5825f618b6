import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { AnchorError } from './anchor.ts'

export interface HttpCall {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST'
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array
}

export interface HttpAnswer {
  status: number
  headers: IncomingMessage['headers']
  body: Buffer
}

export interface HttpServer {
  /** Throws AnchorError when no whole answer came in time, or it is longer than allowed. Redirects are answers like others: none is followed. */
  call(call: HttpCall, signal: AbortSignal): Promise<HttpAnswer>
  /** "host:port", as in the header Host. */
  readonly host: string
  close(): void
}

export interface HttpServerOptions {
  /** http:// or https://; its path is not used. */
  url: string
  /** PEM of the CAs that its certificate may come from; undefined: those of Node.js. */
  ca: string | undefined
  /** Longest time for the whole of a call, in milliseconds. */
  timeoutMs: number
  maxAnswerBytes: number
}

/** One server that we speak to now and then. Connections are kept for the next call; no proxy is used. */
export function createHttpServer({ url, ca, timeoutMs, maxAnswerBytes }: HttpServerOptions): HttpServer {
  const { protocol, hostname, port, host } = new URL(url)
  const secure = protocol === 'https:'
  const agent = secure ? new HttpsAgent({ keepAlive: true, maxSockets: 2, ...(ca === undefined ? {} : { ca }) }) : new HttpAgent({ keepAlive: true, maxSockets: 2 })
  const send = secure ? httpsRequest : httpRequest

  async function call({ method, path, headers = {}, body }: HttpCall, signal: AbortSignal): Promise<HttpAnswer> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    try {
      return await new Promise<HttpAnswer>((resolve, reject) => {
        const bytes = Buffer.from(body ?? '')
        const length = method === 'GET' || method === 'HEAD' ? {} : { 'content-length': String(bytes.length) }
        const call = send({ host: hostname.replaceAll(/[[\]]/g, ''), port, method, path, agent, signal: limit, headers: { host, ...length, ...headers } })
        call.on('error', reject)
        call.on('response', (answer) => {
          collect(answer, maxAnswerBytes).then((whole) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: whole }), reject)
        })
        call.end(bytes)
      })
    } catch (thrown) {
      if (thrown instanceof AnchorError) throw thrown
      if (limit.aborted) throw new AnchorError(signal.aborted ? 'It was given up, because the service stops.' : `No answer within ${timeoutMs / 1000} seconds.`, { cause: thrown })
      throw new AnchorError(`It could not be reached (${codeOf(thrown)}).`, { cause: thrown })
    }
  }

  return { call, host, close: () => agent.destroy() }
}

async function collect(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    length += part.length
    if (length > maxBytes) {
      answer.destroy()
      throw new AnchorError(`Its answer is longer than ${maxBytes} bytes.`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'unknown'
}
