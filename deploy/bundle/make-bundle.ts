import { createHash, createPrivateKey, sign } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { runTool } from '../run-tool.ts'

export interface BundleParts {
  /** Version of the platform. */
  version: string
  /** OCI archives, one for each image. */
  images: readonly string[]
  /** The packaged chart. */
  chart: string
  /** One for each image. */
  sboms: readonly string[]
  /** Model files, as the catalogue names them; may be none. */
  models: readonly string[]
  /** The Node.js program that pushes images to a registry, and that script as one file. */
  tools: { node: string; pushImages: string }
  /** docs/install.md. */
  guide: string
  /** Ed25519, PKCS #8 PEM. */
  signingKey: string
  /** Milliseconds since 1970: of all files, so that the same parts make the same bytes. */
  time: number
}

const signatureBytes = 64
const blockBytes = 512
/** What is signed: this and the SHA-256, in hexadecimal, of all bytes behind the first two blocks. */
const context = 'intramuros-bundle-v1'

/**
 * Writes one file: a tar whose first entry, SIGNATURE, is an Ed25519 signature of all that follows, so that not one byte can be changed unseen, and that
 * standard tools can check it before anything is unpacked (docs/install.md). The same parts make the same bytes.
 */
export async function makeBundle(file: string, parts: BundleParts): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  const work = await mkdtemp(`${file}.new-`)
  try {
    const tree = join(work, 'tree')
    await layOut(tree, parts)
    const seconds = Math.floor(parts.time / 1000)
    const fixed = ['--format=ustar', '--owner=0', '--group=0', '--numeric-owner', `--mtime=@${seconds}`, '--sort=name']
    const rest = join(work, 'rest.tar')
    await runTool('tar', [...fixed, '--mode=u=rwX,go=rX', '-cf', rest, '-C', tree, '.'])
    const message = `${context}\n${await sha256Of(rest)}\n`
    const signature = sign(null, Buffer.from(message), createPrivateKey(parts.signingKey))
    const finished = join(work, 'bundle')
    await writeFile(finished, Buffer.concat([signatureHeader(), signature, Buffer.alloc(blockBytes - signatureBytes)]))
    await pipeline(createReadStream(rest), createWriteStream(finished, { flags: 'a' }))
    await sync(finished)
    await rename(finished, file)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function layOut(tree: string, { images, chart, sboms, models, tools, guide }: BundleParts): Promise<void> {
  await put(images, join(tree, 'images'))
  await put([chart], join(tree, 'chart'))
  await put(sboms, join(tree, 'sbom'))
  if (models.length > 0) await put(models, join(tree, 'models'))
  await put([guide], join(tree, 'docs'))
  await mkdir(join(tree, 'tools'), { recursive: true })
  await cp(tools.node, join(tree, 'tools/node'), { dereference: true })
  await chmod(join(tree, 'tools/node'), 0o755)
  await cp(tools.pushImages, join(tree, 'tools/push-images.mjs'))
  await writeFile(join(tree, 'load.sh'), await loadScript())
  const files = (await filesIn(tree)).toSorted()
  const sums: string[] = []
  for (const name of files) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    sums.push(`${await sha256Of(join(tree, name))}  ${name}\n`)
  }
  await writeFile(join(tree, 'SHA256SUMS'), sums.join(''))
}

/** With the hash of the header that all bundles begin with. */
export async function loadScript(): Promise<string> {
  const script = await readFile(join(import.meta.dirname, 'load.sh'), 'utf8')
  return script.replace('@HEADER@', createHash('sha256').update(signatureHeader()).digest('hex'))
}

async function put(files: readonly string[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const file of files) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    await cp(file, join(folder, basename(file)), { dereference: true })
  }
}

async function filesIn(tree: string): Promise<string[]> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(tree, join(entry.parentPath, entry.name)))
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

/** The ustar header (POSIX.1-1988) of a file SIGNATURE of 64 bytes. The same in all bundles. */
function signatureHeader(): Buffer {
  const header = Buffer.alloc(blockBytes)
  header.write('SIGNATURE', 0)
  header.write('0000444\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  header.write(`${signatureBytes.toString(8).padStart(11, '0')}\0`, 124)
  header.write('00000000000\0', 136)
  header.write('        ', 148)
  header.write('0', 156)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
