import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { imagesOf, LayoutError } from './oci-layout.ts'
import { pushImage, type Registry, RegistryError } from './push-image.ts'

/** What load.sh runs to fill a registry: `push-images LAYOUT HOST[:PORT][/PREFIX] [options]`. LAYOUT is a folder with an OCI image layout. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { ca: { type: 'string' }, user: { type: 'string' }, 'password-file': { type: 'string' }, 'plain-http': { type: 'boolean' } },
})

try {
  await main()
} catch (thrown) {
  if (!(thrown instanceof RegistryError || thrown instanceof LayoutError)) throw thrown
  process.stderr.write(`push-images: ${thrown.message}\n`)
  process.exitCode = 1
}

async function main(): Promise<void> {
  const [folder, target] = positionals
  if (folder === undefined || target === undefined) throw new RegistryError('say which image layout goes to which registry.')
  const slash = target.indexOf('/')
  const host = slash === -1 ? target : target.slice(0, slash)
  const prefix = slash === -1 ? '' : `${target.slice(slash + 1).replace(/\/$/, '')}/`
  const registry = await registryOf(host)
  for (const image of await imagesOf(folder)) {
    const { name, tag } = nameOf(image.reference)
    // oxlint-disable-next-line no-await-in-loop -- one at a time: images are large
    await pushImage(folder, image, registry, `${prefix}${name}`, tag)
    process.stdout.write(`pushed ${registry.host}/${prefix}${name}:${tag}\n`)
  }
}

async function registryOf(host: string): Promise<Registry> {
  const { ca, user, 'password-file': passwordFile, 'plain-http': plainHttp = false } = values
  if ((user === undefined) !== (passwordFile === undefined)) throw new RegistryError('--user and --password-file belong together.')
  if (plainHttp && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host)) throw new RegistryError('--plain-http is for a registry on this machine.')
  const credentials = user === undefined || passwordFile === undefined ? undefined : { user, password: (await textOf(passwordFile)).trim() }
  return { host, plainHttp, credentials, ...(ca === undefined ? {} : { ca: await textOf(ca) }) }
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (thrown) {
    throw new RegistryError(`${file} can not be read: ${thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'}.`)
  }
}

/** "intramuros/gateway" and "0.1.0" of "localhost/intramuros/gateway:0.1.0": the registry in the name is where it was made. */
function nameOf(reference: string): { name: string; tag: string } {
  const colon = reference.lastIndexOf(':')
  const [first = '', ...rest] = reference.slice(0, colon).split('/')
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')
  if (colon <= reference.lastIndexOf('/')) throw new LayoutError(`The image ${reference} has no tag.`)
  return { name: isHost ? rest.join('/') : [first, ...rest].join('/'), tag: reference.slice(colon + 1) }
}
