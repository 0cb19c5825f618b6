import { createHash } from 'node:crypto'
import { link, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256OfFile } from '../../services/shared/models/digest.ts'
import { runTool } from '../run-tool.ts'

/** One layer of an image: a tar whose bytes depend on nothing but what is in the folder. */
export interface Layer {
  file: string
  digest: string
  size: number
  /** What is in it, for those who list layers. */
  created: string
}

/** What an image says of itself (image-spec 1.1, config.md). */
export interface ImageConfig {
  user: string
  env: Readonly<Record<string, string>>
  entrypoint: readonly string[]
  workingFolder: string
  labels: Readonly<Record<string, string>>
}

/** Of every file and image: nobody needs to know when it was built, and the same input is to be the same bytes. */
const epoch = '1970-01-01T00:00:00Z'

/** How tar makes the same bytes of the same files, whoever has them. Links stay links. */
const tarOptions = ['--format=gnu', '--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--mode=u=rwX,go=rX']

/** Makes a layer of a folder: owned by root, sorted, writable for nobody but its owner. */
export async function makeLayer(folder: string, file: string, created: string): Promise<Layer> {
  await runTool('tar', [...tarOptions, '-cf', file, '-C', folder, '.'])
  return { file, digest: `sha256:${await sha256OfFile(file, undefined)}`, size: (await stat(file)).size, created }
}

/**
 * Writes an OCI image layout in a tar, which `ctr images import`, skopeo, podman and docker (through its manifest.json) take. The same layers and config make
 * the same bytes. Returns the digest of the manifest.
 */
export async function writeArchive(file: string, { reference, layers, config }: { reference: string; layers: readonly Layer[]; config: ImageConfig }): Promise<string> {
  const work = `${file}.new`
  await rm(work, { recursive: true, force: true })
  await mkdir(join(work, 'blobs/sha256'), { recursive: true })
  const configBytes = canonical({
    architecture: 'amd64',
    os: 'linux',
    created: epoch,
    config: { User: config.user, Env: Object.entries(config.env).map(([name, value]) => `${name}=${value}`), Entrypoint: config.entrypoint, WorkingDir: config.workingFolder, Labels: config.labels, StopSignal: 'SIGTERM' },
    // Uncompressed, so that a layer's digest is that of its content.
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    history: layers.map(({ created }) => ({ created: epoch, created_by: created })),
  })
  const configDigest = await put(work, configBytes)
  for (const layer of layers) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    await link(layer.file, blob(work, layer.digest)).catch((thrown: unknown) => {
      // Two layers may be the same.
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
    })
  }
  const manifestType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = canonical({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: configDigest, size: configBytes.length },
    layers: layers.map(({ digest, size }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size })),
  })
  const digest = await put(work, manifest)
  const annotations = { 'io.containerd.image.name': reference, 'org.opencontainers.image.ref.name': reference.slice(reference.lastIndexOf(':') + 1) }
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [{ mediaType: manifestType, digest, size: manifest.length, annotations, platform: { architecture: 'amd64', os: 'linux' } }] }
  await writeFile(join(work, 'index.json'), canonical(index))
  await writeFile(join(work, 'oci-layout'), canonical({ imageLayoutVersion: '1.0.0' }))
  const path = (of: string): string => `blobs/sha256/${of.slice('sha256:'.length)}`
  await writeFile(join(work, 'manifest.json'), canonical([{ Config: path(configDigest), RepoTags: [reference], Layers: layers.map((layer) => path(layer.digest)) }]))
  const packed = `${file}.tar.new`
  await runTool('tar', [...tarOptions, '--hard-dereference', '-cf', packed, '-C', work, 'blobs', 'index.json', 'manifest.json', 'oci-layout'])
  await rm(work, { recursive: true })
  await rename(packed, file)
  return digest
}

async function put(work: string, bytes: Buffer): Promise<string> {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  await writeFile(blob(work, digest), bytes)
  return digest
}

function blob(work: string, digest: string): string {
  return join(work, 'blobs/sha256', digest.slice('sha256:'.length))
}

function canonical(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
