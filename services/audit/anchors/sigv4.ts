import { createHash, createHmac } from 'node:crypto'

/** Signature Version 4, by which S3 and what is compatible with it know who asks. */
export interface SigV4Request {
  method: string
  /** Encoded already, each segment once, as S3 wants it. */
  path: string
  query: Readonly<Record<string, string>>
  /** All of them are signed; `host` must be among them. Names in lower case. */
  headers: Readonly<Record<string, string>>
  /** SHA-256 of the body, in hex. */
  bodySha256: string
}

export interface SigV4Credentials {
  accessKey: string
  secretKey: string
}

export interface SigV4Scope {
  region: string
  service: string
  /** As 20150830T123600Z; also the header x-amz-date. */
  time: string
}

/** The header Authorization. */
export function signV4(request: SigV4Request, { accessKey, secretKey }: SigV4Credentials, { region, service, time }: SigV4Scope): string {
  const headers = Object.entries(request.headers).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const signedHeaders = headers.map(([name]) => name).join(';')
  const canonical = [
    request.method,
    request.path,
    formatQuery(request.query),
    ...headers.map(([name, value]) => `${name}:${value.trim().replaceAll(/ +/g, ' ')}`),
    '',
    signedHeaders,
    request.bodySha256,
  ].join('\n')
  const date = time.slice(0, 8)
  const scope = `${date}/${region}/${service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n')
  const key = [date, region, service, 'aws4_request'].reduce((above: string | Buffer, part) => hmac(above, part), `AWS4${secretKey}`)
  return `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${signedHeaders}, Signature=${hmac(key, toSign).toString('hex')}`
}

/** The query of a URL in the order that is signed; empty without one. */
export function formatQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [encodeSegment(name), encodeSegment(value)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&')
}

/** RFC 3986: everything but letters, digits and -._~ */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
}

export function sigV4Time(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
}

export function sha256(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
