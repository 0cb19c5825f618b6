import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'

/** What an OCI image layout (image-spec 1.1, image-layout.md) in a folder holds, as far as a registry has to have it. */
export interface LayoutImage {
  /** From the annotation org.opencontainers.image.ref.name or io.containerd.image.name: "registry/name:tag". */
  reference: string
  manifest: Descriptor
}

export interface Descriptor {
  mediaType: string
  /** "sha256:" and 64 hexadecimal digits. */
  digest: string
  /** Bytes. */
  size: number
}

/** An image that can't be used, told for a person. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError'
}

const descriptor = { mediaType: Type.String({ maxLength: 255 }), digest: Type.String({ pattern: '^sha256:[0-9a-f]{64}$' }), size: Type.Integer({ minimum: 0 }) }
const annotations = Type.Optional(Type.Record(Type.String(), Type.String()))
const indexCheck = Compile(Type.Object({ manifests: Type.Array(Type.Object({ ...descriptor, annotations })) }))
const manifestCheck = Compile(Type.Object({ config: Type.Object(descriptor), layers: Type.Array(Type.Object(descriptor)) }))

/** Manifests are JSON of some kilobytes. */
const largestManifest = 4 * 1024 * 1024

/** The images that the layout names. Throws LayoutError. */
export async function imagesOf(folder: string): Promise<LayoutImage[]> {
  return indexOf(await readFile(join(folder, 'index.json')))
}

/** The images that an index.json names. Throws LayoutError. */
export function indexOf(bytes: Buffer): LayoutImage[] {
  const index = parse(bytes, 'index.json')
  if (!indexCheck.Check(index)) throw new LayoutError('index.json is not that of an OCI image layout.')
  return index.manifests.map(({ mediaType, digest, size, annotations: notes = {} }) => {
    const reference = notes['io.containerd.image.name'] ?? notes['org.opencontainers.image.ref.name']
    if (reference === undefined) throw new LayoutError('index.json has an image without a name.')
    return { reference, manifest: { mediaType, digest, size } }
  })
}

/** The bytes of a manifest, which have its digest, and the blobs that it consists of. Throws LayoutError. */
export async function readManifest(folder: string, { digest, size }: Descriptor): Promise<{ bytes: Buffer; blobs: Descriptor[] }> {
  if (size > largestManifest) throw new LayoutError(`The manifest ${digest} is too large.`)
  const bytes = await readFile(blobFile(folder, digest))
  if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest) throw new LayoutError(`The manifest ${digest} is not what its digest says.`)
  const manifest = parse(bytes, digest)
  if (!manifestCheck.Check(manifest)) throw new LayoutError(`${digest} is no image manifest.`)
  return { bytes, blobs: [manifest.config, ...manifest.layers].map(({ mediaType, digest: of, size: long }) => ({ mediaType, digest: of, size: long })) }
}

/** Throws LayoutError when the file is not what the descriptor says. */
export async function checkBlob(folder: string, { digest, size }: Descriptor): Promise<void> {
  const file = blobFile(folder, digest)
  const hash = createHash('sha256')
  if ((await stat(file)).size !== size) throw new LayoutError(`${digest} has another size than its descriptor says.`)
  await pipeline(createReadStream(file), hash)
  if (`sha256:${hash.digest('hex')}` !== digest) throw new LayoutError(`${digest} is not what its digest says.`)
}

export function blobFile(folder: string, digest: string): string {
  return join(folder, 'blobs', 'sha256', digest.slice('sha256:'.length))
}

function parse(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new LayoutError(`${what} is no JSON.`)
  }
}
