import { createReadStream } from 'node:fs'
import { type IncomingHttpHeaders, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { pipeline } from 'node:stream/promises'
import { blobFile, checkBlob, type Descriptor, type LayoutImage, readManifest } from './oci-layout.ts'

/** A registry that speaks the OCI distribution specification 1.1. */
export interface Registry {
  /** "host", "host:port". */
  host: string
  /** For a registry on this machine only. */
  plainHttp?: boolean
  /** PEM of the CA of its certificate; default: those that Node.js trusts. */
  ca?: string
  credentials?: { user: string; password: string } | undefined
}

/** The registry did not take an image, told for a person. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

interface Sent {
  headers?: Record<string, string>
  body?: Buffer | { file: string; size: number }
}

const timeoutMs = 60_000
/** Of what a registry says. */
const longestAnswer = 1024 * 1024

/**
 * Copies one image from an OCI layout in a folder, blobs first, each only where the registry has it not; the tag comes last, so that it never names an
 * image with a part missing. Throws RegistryError or LayoutError.
 */
export async function pushImage(folder: string, { manifest }: LayoutImage, registry: Registry, repository: string, tag: string): Promise<void> {
  const call = caller(registry, repository)
  const { bytes, blobs } = await readManifest(folder, manifest)
  for (const blob of unique(blobs)) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: layers are large
    await pushBlob(folder, blob, call)
  }
  const stored = await call('PUT', `manifests/${tag}`, { headers: { 'content-type': manifest.mediaType }, body: bytes })
  expect(stored, [201], `the manifest of ${repository}:${tag}`)
}

async function pushBlob(folder: string, blob: Descriptor, call: Caller): Promise<void> {
  const known = await call('HEAD', `blobs/${blob.digest}`)
  if (known.status === 200) return
  await checkBlob(folder, blob)
  const begun = await call('POST', 'blobs/uploads/', { headers: { 'content-length': '0' } })
  expect(begun, [202], 'the beginning of an upload')
  const { location } = begun.headers
  if (location === undefined) throw new RegistryError('The registry did not say where an upload goes.')
  const target = `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(blob.digest)}`
  const stored = await call('PUT', target, { headers: { 'content-type': 'application/octet-stream' }, body: { file: blobFile(folder, blob.digest), size: blob.size } })
  expect(stored, [201], `the blob ${blob.digest}`)
}

type Caller = (method: string, path: string, sent?: Sent) => Promise<Answer>

/** Calls under /v2/<repository>/; paths of their own are taken as the registry gave them. Authorises itself as the registry asks (Basic, or a bearer token). */
function caller(registry: Registry, repository: string): Caller {
  const base = `${registry.plainHttp === true ? 'http' : 'https'}://${registry.host}`
  const { credentials } = registry
  const basic = credentials === undefined ? undefined : `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`
  let authorization = basic
  return async (method, path, sent = {}) => {
    const url = new URL(path.startsWith('http') || path.startsWith('/') ? path : `/v2/${repository}/${path}`, base)
    // Credentials go to the registry itself and to nobody whom it names.
    if (url.host !== new URL(base).host || (url.protocol === 'http:' && registry.plainHttp !== true)) throw new RegistryError(`The registry sends uploads elsewhere (${url.host}), which is not followed.`)
    const once = (): Promise<Answer> => send(url, method, sent, authorization, registry.ca)
    const answer = await once()
    const challenge = answer.headers['www-authenticate']
    if (answer.status !== 401 || challenge === undefined || !/^bearer /i.test(challenge)) return answer
    authorization = `Bearer ${await tokenFor(challenge, repository, registry, basic)}`
    return once()
  }
}

/** The distribution project's token authentication. */
async function tokenFor(challenge: string, repository: string, registry: Registry, basic: string | undefined): Promise<string> {
  const { realm, service } = Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]))
  if (realm === undefined || !URL.canParse(realm)) throw new RegistryError('The registry asks for a token and does not say where it is to be had.')
  const url = new URL(realm)
  if (url.protocol !== 'https:' && registry.plainHttp !== true) throw new RegistryError('The registry wants its password sent without TLS.')
  if (service !== undefined) url.searchParams.set('service', service)
  url.searchParams.set('scope', `repository:${repository}:pull,push`)
  const answer = await send(url, 'GET', {}, basic, registry.ca)
  expect(answer, [200], 'a token')
  const said: unknown = JSON.parse(answer.text)
  const token = typeof said === 'object' && said !== null ? ('token' in said ? said.token : 'access_token' in said ? said.access_token : undefined) : undefined
  if (typeof token !== 'string' || token === '') throw new RegistryError('The registry gave no token.')
  return token
}

function send(url: URL, method: string, { headers = {}, body }: Sent, authorization: string | undefined, ca: string | undefined): Promise<Answer> {
  const length = body === undefined ? undefined : Buffer.isBuffer(body) ? body.length : body.size
  const all = { ...headers, ...(length === undefined ? {} : { 'content-length': String(length) }), ...(authorization === undefined ? {} : { authorization }) }
  const options = { method, headers: all, agent: false as const, timeout: timeoutMs, ...(ca === undefined ? {} : { ca }) }
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(new RegistryError(`${url.host} can not be used: ${error.message}${'code' in error && error.code === 'EPROTO' ? '. Does it speak TLS there? One on this machine that does not takes --plain-http.' : ''}`, { cause: error }))
    const sent = (url.protocol === 'http:' ? httpRequest : httpsRequest)(url, options, (response) => {
      const chunks: Buffer[] = []
      let long = 0
      response.on('data', (chunk: Buffer) => {
        long += chunk.length
        if (long <= longestAnswer) chunks.push(chunk)
      })
      response.on('error', failed)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') }))
    })
    sent.on('error', failed)
    sent.on('timeout', () => sent.destroy(new Error('it does not answer')))
    if (body === undefined || Buffer.isBuffer(body)) sent.end(body)
    else pipeline(createReadStream(body.file), sent).catch(failed)
  })
}

function expect({ status, text }: Answer, wanted: readonly number[], what: string): void {
  if (wanted.includes(status)) return
  const hint = status === 401 || status === 403 ? ' Are --user and the password right, or is a user needed, and may it write there?' : ''
  throw new RegistryError(`The registry refused ${what} with status ${status}.${hint}${text === '' ? '' : ` It said: ${text.slice(0, 300)}`}`)
}

function unique(blobs: readonly Descriptor[]): Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
}
