import { isIP } from 'node:net'
import { SourceFailed } from './failures.ts'

export interface ProxySettings {
  env: NodeJS.ProcessEnv
  /** Proxy for every host (pip's proxy setting) instead of HTTPS_PROXY, HTTP_PROXY and ALL_PROXY. NO_PROXY holds for both. */
  proxy?: string | undefined
}

/** The proxy that requests for `url` go through, by the variables that curl, requests and pip read too; undefined for none. */
export function proxyFor(url: URL, { env, proxy }: ProxySettings): URL | undefined {
  const read = (name: string): string | undefined =>
    [env[name.toLowerCase()], env[name]].find((value) => value !== undefined && value !== '')
  const chosen = notEmpty(proxy) ?? read(url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY') ?? read('ALL_PROXY')
  if (chosen === undefined || isExempt(url, read('NO_PROXY') ?? '')) return undefined
  const address = chosen.includes('://') ? chosen : `http://${chosen}`
  if (!URL.canParse(address)) throw new SourceFailed('the proxy setting is not an address')
  const parsed = new URL(address)
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw new SourceFailed(`a proxy of kind ${parsed.protocol.slice(0, -1)} is not supported, only http and https`)
  }
  return parsed
}

/** Value of an Authorization or Proxy-Authorization header for the credentials in an address; undefined when it has none. */
export function ownAuthorization(url: URL): string | undefined {
  return url.username === '' ? undefined : basicAuthorization(decoded(url.username), decoded(url.password))
}

/** RFC 7617. */
export function basicAuthorization(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/** NO_PROXY as curl and requests understand it: `*`, or names that stand for their subdomains too, each with an optional port. */
function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const withPort = isIP(entry) === 0 ? /^(.*):(\d+)$/.exec(entry) : null
      if (withPort !== null && withPort[2] !== port) return false
      const name = (withPort?.[1] ?? entry).toLowerCase().replace(/^\*?\.|^\[|\]$/g, '')
      return host === name || (isIP(host) === 0 && host.endsWith(`.${name}`))
    })
}

function notEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
