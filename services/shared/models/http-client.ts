import { type AgentOptions, type IncomingMessage, Agent as HttpAgent, type RequestOptions, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import type { SecureContext } from 'node:tls'
import { Interrupted, SourceFailed, Unreachable, errorCode, networkReason } from './failures.ts'
import { type Trust, secureContext } from './trust.ts'

const maxRedirects = 10

export interface HttpClientOptions extends Trust {
  /** Proxy for every host (pip's proxy setting) instead of HTTPS_PROXY, HTTP_PROXY and ALL_PROXY. NO_PROXY holds for both. */
  proxy?: string | undefined
  /** `host` or `host:port` whose certificate is not checked and which may be spoken to without TLS (pip's trusted-host setting). */
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
   * GET, through redirects. Resolves with a response of any status but a redirect, whose body the caller must read or destroy.
   * Rejects with Unreachable, Interrupted or SourceFailed in plain words. A body that stalls is destroyed with Interrupted.
   */
  get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<{ response: IncomingMessage; url: URL }>
  limits: Limits
}

/** A client for a handful of large downloads. Opens a connection for each request and leaves none open. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const proxyEnv = proxyEnvironment(options)
  // Some 800 certificates take a while to parse: only once and only when TLS is spoken.
  let context: Promise<SecureContext> | undefined
  async function agentFor(url: URL): Promise<HttpAgent | HttpsAgent> {
    const common: AgentOptions = { keepAlive: false, proxyEnv }
    if (url.protocol === 'http:') return new HttpAgent(common)
    context ??= secureContext(options)
    return new HttpsAgent({ ...common, secureContext: await context, rejectUnauthorized: !isTrustedHost(url, options.trustedHosts) })
  }

  return {
    limits: options.limits,
    async get(start, headers, signal) {
      let url = start
      for (let hop = 0; hop <= maxRedirects; hop += 1) {
        if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new SourceFailed(`${url.protocol} addresses can't be fetched`)
        const authorization = options.authorize?.(url)
        const response = await send(
          url,
          { headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) }, agent: await agentFor(url), signal },
          options.limits,
        )
        const location = response.headers.location
        if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return { response, url }
        response.destroy()
        if (!URL.canParse(location, url)) throw new SourceFailed(`${url.host} redirects to something that is no address`)
        const next = new URL(location, url)
        next.username = ''
        next.password = ''
        if (url.protocol === 'https:' && next.protocol !== 'https:' && !isTrustedHost(next, options.trustedHosts)) {
          throw new SourceFailed(`${url.host} redirects to ${next.host} without TLS`)
        }
        url = next
      }
      throw new SourceFailed(`${start.host} redirects more than ${maxRedirects} times`)
    },
  }
}

/** One request up to its response's headers. */
async function send(url: URL, requestOptions: RequestOptions, limits: Limits): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  // Over a finished proxy tunnel 'finish' still waits for TLS: the request is only written out once the connection stands.
  let connected = false
  let request: ReturnType<typeof httpRequest>
  try {
    request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(bare, requestOptions)
  } catch (error) {
    throw new SourceFailed(networkReason(error), { cause: error })
  }
  const timer = setTimeout(() => {
    request.destroy(new Unreachable(`no connection within ${limits.connectMs / 1000} s`))
  }, limits.connectMs)
  request.once('finish', () => {
    connected = true
    clearTimeout(timer)
    request.setTimeout(limits.stallMs, () => {
      request.destroy(new Interrupted(`no answer within ${limits.stallMs / 1000} s`))
    })
  })
  request.once('response', (response) => {
    clearTimeout(timer)
    response.setTimeout(limits.stallMs, () => {
      response.destroy(new Interrupted(`nothing came for ${limits.stallMs / 1000} s`))
    })
    resolve(response)
  })
  request.on('error', (error) => {
    clearTimeout(timer)
    if (error instanceof SourceFailed || requestOptions.signal?.aborted === true) reject(error)
    else if (isPermanent(error)) reject(new SourceFailed(networkReason(error), { cause: error }))
    else if (connected) reject(new Interrupted(networkReason(error), { cause: error }))
    else reject(new Unreachable(networkReason(error), { cause: error }))
  })
  request.end()
  return await promise
}

/** Certificates that don't fit won't fit in a second either. */
function isPermanent(error: Error): boolean {
  const code = errorCode(error) ?? ''
  return code.includes('CERT') || code.startsWith('UNABLE_TO_') || code.startsWith('ERR_TLS') || code.startsWith('ERR_SSL') || code === 'EPROTO'
}

export function isTrustedHost(url: URL, trustedHosts: readonly string[] = []): boolean {
  return trustedHosts.some((trusted) => trusted === url.hostname || trusted === url.host || trusted === `${url.hostname}:${portOf(url)}`)
}

function portOf(url: URL): string {
  return url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
}

/** The proxy variables in the form that Node's agents read. */
function proxyEnvironment({ env, proxy }: HttpClientOptions): Record<string, string> {
  const pick = (name: string): string | undefined => [env[name.toLowerCase()], env[name]].find((value) => value !== undefined && value !== '')
  const everywhere = withScheme(proxy)
  const all = withScheme(pick('ALL_PROXY'))
  const https = everywhere ?? withScheme(pick('HTTPS_PROXY')) ?? all
  const http = everywhere ?? withScheme(pick('HTTP_PROXY')) ?? all
  const except = pick('NO_PROXY')
  return {
    ...(https === undefined ? {} : { HTTPS_PROXY: https }),
    ...(http === undefined ? {} : { HTTP_PROXY: http }),
    ...(except === undefined ? {} : { NO_PROXY: withSubdomains(except) }),
  }
}

function withScheme(proxy: string | undefined): string | undefined {
  if (proxy === undefined || proxy === '') return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

/** Node takes `example.com` in NO_PROXY for that host alone; curl, pip and whoever writes it mean its subdomains too. */
function withSubdomains(noProxy: string): string {
  const entries = noProxy.split(',').map((entry) => entry.trim()).filter((entry) => entry !== '')
  return entries.flatMap((entry) => (/^[.*]/.test(entry) || isIP(entry) !== 0 || entry.includes(':') ? [entry] : [entry, `.${entry}`])).join(',')
}
