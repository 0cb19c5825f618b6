import { once } from 'node:events'
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { request } from 'node:https'

export interface Target {
  url: string
  ca: string
  key: string
  model: string
}

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

export interface SendOptions {
  method?: string
  path?: string
  headers?: Record<string, string>
  /** A client that goes away when it aborts. */
  signal?: AbortSignal
}

/** One HTTPS request with the platform's CA, on a connection of its own. `body` is sent as JSON unless it is bytes or a string. */
export async function send(target: Target, body: unknown, options: SendOptions = {}): Promise<Reply> {
  const { response } = await open(target, body, options)
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return { status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() }
}

/** As `send`, but hands over the response as it arrives; `destroy()` of the request is a client that goes away. */
export async function open(target: Target, body: unknown, { method = 'POST', path = '/v1/chat/completions', headers = {}, signal }: SendOptions = {}): Promise<{ sent: ClientRequest; response: IncomingMessage }> {
  const bytes = body === undefined ? undefined : Buffer.isBuffer(body) || typeof body === 'string' ? Buffer.from(body) : Buffer.from(JSON.stringify(body))
  const sent = request(`${target.url}${path}`, {
    method,
    agent: false,
    ca: target.ca,
    ...(signal === undefined ? {} : { signal }),
    headers: { authorization: `Bearer ${target.key}`, ...(bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': bytes.length }), ...headers },
  })
  sent.end(bytes)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  sent.on('error', () => undefined) // it may be cut off later on purpose
  return { sent, response }
}

export function chatBody(target: Target, extra: object = {}): object {
  return { model: target.model, messages: [{ role: 'user', content: 'Say something.' }], temperature: 0, ...extra }
}

/** Data of each server-sent event, parsed; "[DONE]" as it is. Ends when the stream ends or breaks. */
export async function* events(response: IncomingMessage): AsyncGenerator<StreamEvent, void, undefined> {
  let rest = ''
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const parts = (rest + chunk.toString()).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) {
        const data = part.replace(/^data: /, '')
        yield data === '[DONE]' ? { done: true } : (JSON.parse(data) as StreamEvent)
      }
    }
  } catch {
    // The connection broke: what came is all there is.
  }
}

export interface StreamEvent {
  done?: boolean
  id?: string
  choices?: { delta: { role?: string; content?: string }; finish_reason: string | null }[]
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null
  error?: { message: string; code: string; type: string }
}
