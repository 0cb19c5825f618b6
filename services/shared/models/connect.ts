import { request } from 'node:http'
import { type Socket, connect as connectTcp, isIP } from 'node:net'
import { type SecureContext, connect as connectTls } from 'node:tls'
import { SourceFailed, Unreachable, errorCode, networkReason } from './failures.ts'
import { ownAuthorization } from './proxy.ts'

export interface ConnectOptions {
  proxy: URL | undefined
  /** Asked for only when TLS is spoken: reading some 800 certificates takes a while. */
  context: () => Promise<SecureContext>
  /** Whether the certificate of the host at this URL is checked. */
  verify: (url: URL) => boolean
  /** Milliseconds until the connection, proxy and TLS included, must stand. */
  connectMs: number
  signal: AbortSignal
}

/**
 * A connection on which a request for `url` can be written: TCP or TLS, straight or through a proxy (for https: a tunnel by
 * CONNECT, RFC 9110 section 9.3.6). Made here rather than by Node's agents because those leave a tunnel open, and its request
 * undecided, when TLS inside it stalls. Rejects with Unreachable when nobody answers, with SourceFailed when the answer is
 * final.
 */
export async function connect(url: URL, { proxy, context, verify, connectMs, signal }: ConnectOptions): Promise<Socket> {
  const limit = new AbortController()
  const timer = setTimeout(() => {
    limit.abort()
  }, connectMs)
  const either = AbortSignal.any([signal, limit.signal])
  let socket: Socket | undefined
  async function secured(over: Socket, peer: URL): Promise<Socket> {
    const tls = connectTls({
      socket: over,
      ...serverName(peer),
      secureContext: await context(),
      rejectUnauthorized: verify(peer),
    })
    return await established(tls, 'secureConnect', either)
  }
  try {
    const hop = proxy ?? url
    // TCP first, also where TLS follows: certificates are only read once somebody is there.
    socket = await established(connectTcp(address(hop)), 'connect', either)
    if (hop.protocol === 'https:') socket = await secured(socket, hop)
    if (proxy !== undefined && url.protocol === 'https:') {
      await tunnel(url, proxy, socket, either)
      socket = await secured(socket, url)
    }
    return socket
  } catch (error) {
    socket?.destroy()
    signal.throwIfAborted()
    const through = proxy === undefined ? '' : ` (through the proxy ${proxy.host})`
    if (limit.signal.aborted) throw new Unreachable(`no connection within ${connectMs / 1000} s${through}`)
    if (error instanceof SourceFailed) throw error
    const reason = `${networkReason(error)}${through}`
    throw isFinal(error) ? new SourceFailed(reason, { cause: error }) : new Unreachable(reason, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

async function established(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const abort = (): void => {
    socket.destroy()
    reject(signal.reason as Error)
  }
  const close = (): void => {
    reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }))
  }
  socket.once(event, resolve).once('error', reject).once('close', close)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    await promise
    return socket
  } finally {
    signal.removeEventListener('abort', abort)
    socket.off(event, resolve).off('error', reject).off('close', close)
    // Between here and the request that takes it over, an error must not be an unhandled one.
    socket.on('error', () => undefined)
  }
}

async function tunnel(url: URL, proxy: URL, socket: Socket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const { host, port } = address(url)
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  const authorization = ownAuthorization(proxy)
  const headers = { host: authority, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) }
  request({ method: 'CONNECT', path: authority, headers, createConnection: () => socket, signal })
    .once('connect', (response) => {
      if (response.statusCode === 200) resolve()
      else reject(new SourceFailed(`the proxy ${proxy.host} refused the connection (HTTP ${response.statusCode})`))
    })
    .on('error', reject)
    .end()
  await promise
}

function address(url: URL): { host: string; port: number } {
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
  }
}

/** Names the host for SNI and for the check of its certificate; an IP address is not allowed in SNI (RFC 6066). */
function serverName(url: URL): { servername?: string; host: string } {
  const { host } = address(url)
  return isIP(host) === 0 ? { servername: host, host } : { host }
}

/** Certificates that don't fit won't fit in a second either. */
function isFinal(error: unknown): boolean {
  return /CERT|^UNABLE_TO_|^ERR_TLS|^ERR_SSL|^EPROTO$/.test(errorCode(error) ?? '')
}
