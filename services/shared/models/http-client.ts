import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { connect } from './connect.ts'
import { Interrupted, SourceFailed, networkReason } from './failures.ts'
import { type ProxySettings, ownAuthorization, proxyFor } from './proxy.ts'
import { type Trust, secureContext } from './trust.ts'

const maxRedirects = 10

export interface HttpClientOptions extends Trust, ProxySettings {
  /**
   * `host` or `host:port` whose certificate is not checked and which may be spoken to without TLS (pip's trusted-host
   * setting).
   */
  trustedHosts?: readonly string[] | undefined
  /** Value of the Authorization header for a URL. Asked anew at each redirect, so that no host gets another's credentials. */
  authorize?: ((url: URL) => string | undefined) | undefined
  limits: Limits
}

export interface Limits {
  /** Milliseconds until a connection, TLS included, must stand. */
  connectMs: number
  /** Milliseconds without a byte after which a connection counts as broken. */
  stallMs: number
  /** Tries in a row without progress before a download is given up. */
  attempts: number
  /** Milliseconds before the second try; doubled for each further one. */
  backoffMs: number
}

export const defaultLimits: Limits = { connectMs: 10_000, stallMs: 30_000, attempts: 5, backoffMs: 500 }

export interface HttpClient {
  /**
   * GET, through redirects. Resolves with a response of any status but a redirect, whose body the caller must read or destroy,
   * and the URL that gave it. Rejects with Unreachable, Interrupted or SourceFailed in plain words. A body that stalls is
   * destroyed with Interrupted.
   */
  get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<{ response: IncomingMessage; url: URL }>
  limits: Limits
}

/** A client for a handful of large downloads: a connection for each request, and none kept. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { limits, authorize, trustedHosts } = options
  let context: Promise<SecureContext> | undefined

  async function send(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    const proxy = proxyFor(url, options)
    const socket = await connect(url, {
      proxy,
      context: () => (context ??= secureContext(options)),
      verify: (host) => !isTrustedHost(host, trustedHosts),
      connectMs: limits.connectMs,
      signal,
    })
    const authorization = authorize?.(url)
    const proxied = proxy !== undefined && url.protocol === 'http:' ? ownAuthorization(proxy) : undefined
    const all = {
      ...headers,
      host: url.host,
      ...(authorization === undefined ? {} : { authorization }),
      ...(proxied === undefined ? {} : { 'proxy-authorization': proxied }),
    }
    const path =
      proxy !== undefined && url.protocol === 'http:'
        ? `http://${url.host}${url.pathname}${url.search}`
        : `${url.pathname}${url.search}`
    const given = { path, headers: all, createConnection: () => socket, signal }
    return await answer((url.protocol === 'https:' ? httpsRequest : httpRequest)(given), socket, limits.stallMs, signal)
  }

  return {
    limits,
    async get(start, headers, signal) {
      let url = start
      for (let hop = 0; hop <= maxRedirects; hop += 1) {
        if (url.protocol !== 'https:' && url.protocol !== 'http:')
          throw new SourceFailed(`addresses of kind ${url.protocol} can't be fetched`)
        const response = await send(url, headers, signal)
        const { location } = response.headers
        if (location === undefined || ![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return { response, url }
        response.destroy()
        url = redirected(url, location, trustedHosts)
      }
      throw new SourceFailed(`${start.host} redirects more than ${maxRedirects} times`)
    },
  }
}

/** The response to a request, once its headers are there. From then on a silence destroys the body with Interrupted. */
async function answer(request: ClientRequest, socket: Socket, stallMs: number, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  let response: IncomingMessage | undefined
  socket.setTimeout(stallMs, () => {
    if (response === undefined) request.destroy(new Interrupted(`no answer within ${stallMs / 1000} s`))
    else response.destroy(new Interrupted(`nothing came for ${stallMs / 1000} s`))
  })
  request.once('response', (arrived) => {
    response = arrived
    // Until someone reads it: an error of an unread body must not be an unhandled one.
    arrived.on('error', () => undefined)
    resolve(arrived)
  })
  request.on('error', (error) => {
    if (error instanceof SourceFailed) reject(error)
    else if (signal.aborted) reject(signal.reason as Error)
    else reject(new Interrupted(networkReason(error), { cause: error }))
  })
  request.end()
  return await promise
}

function redirected(from: URL, location: string, trustedHosts: readonly string[] | undefined): URL {
  if (!URL.canParse(location, from)) throw new SourceFailed(`${from.host} redirects to something that is no address`)
  const to = new URL(location, from)
  if (from.protocol === 'https:' && to.protocol === 'http:' && !isTrustedHost(to, trustedHosts)) {
    throw new SourceFailed(`${from.host} redirects to ${to.host} without TLS`)
  }
  return to
}

export function isTrustedHost(url: URL, trustedHosts: readonly string[] = []): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return trustedHosts.includes(url.hostname) || trustedHosts.includes(`${url.hostname}:${port}`)
}
