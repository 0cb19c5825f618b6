import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { sha256OfFile } from '../../services/shared/models/digest.ts'
import { toolInto } from '../run-tool.ts'

export interface BundleParts {
  /** What is in it: by its path there, a file or a folder here. */
  content: ReadonlyMap<string, string>
  /** Ed25519, PKCS #8 PEM. */
  signingKey: string
}

export interface Bundle {
  /** Bytes. */
  size: number
  /** Of the whole file, hexadecimal. */
  sha256: string
}

/** The key can't sign bundles, told for a person. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
}

const signatureBytes = 64
const blockBytes = 512
/** What is signed: this and the SHA-256, in hexadecimal, of all bytes behind the first two blocks. */
const context = 'intramuros-bundle-v1'
/** Of all files: 1980. Some programs warn of 1970. */
export const fileTime = 315_532_800

/**
 * How tar makes the same bytes of the same files, whoever has them. GNU's format, which tar, bsdtar and busybox read, has files over 8 GiB, as models are,
 * and names of any length. Links are followed.
 */
export const tarOptions: readonly string[] = ['--format=gnu', '--dereference', '--hard-dereference', '--owner=0', '--group=0', '--numeric-owner', `--mtime=@${fileTime}`, '--mode=u=rwX,go=rX', '--sort=name']

/**
 * Writes one file: a tar whose first entry, SIGNATURE, is an Ed25519 signature of all that follows, so that not one byte can be changed unseen, and that
 * standard tools can check it before anything is unpacked (docs/install.md). The same parts make the same bytes. Throws KeyError.
 */
export async function makeBundle(file: string, { content, signingKey }: BundleParts): Promise<Bundle> {
  const key = readSigningKey(signingKey)
  await mkdir(dirname(file), { recursive: true })
  const work = await mkdtemp(`${file}.new-`)
  try {
    const tree = join(work, 'tree')
    await layOut(tree, content)
    const finished = join(work, 'bundle')
    await writeFile(finished, Buffer.alloc(2 * blockBytes))
    const rest = createHash('sha256')
    const hashed = async function* (chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
      for await (const chunk of chunks) {
        rest.update(chunk)
        yield chunk
      }
    }
    await toolInto('tar', [...tarOptions, '-cf', '-', '-C', tree, '.'], hashed, createWriteStream(finished, { flags: 'a' }))
    const signature = sign(null, Buffer.from(`${context}\n${rest.digest('hex')}\n`), key)
    await begin(finished, Buffer.concat([signatureHeader(), signature]))
    const made = { size: (await stat(finished)).size, sha256: await sha256OfFile(finished, undefined) }
    await rename(finished, file)
    return made
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Throws KeyError. */
export function readSigningKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    throw new KeyError('it is no private key in PEM without a password')
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new KeyError(`it is a key of the kind ${key.asymmetricKeyType}, not Ed25519`)
  return key
}

/** Links, and the checksums: models are too large to be copied. */
async function layOut(tree: string, content: ReadonlyMap<string, string>): Promise<void> {
  for (const [name, source] of content) {
    // oxlint-disable-next-line no-await-in-loop -- some dozens
    await mkdir(dirname(join(tree, name)), { recursive: true })
    // oxlint-disable-next-line no-await-in-loop -- some dozens
    await symlink(resolve(source), join(tree, name))
  }
  await writeFile(join(tree, 'load.sh'), await loadScript())
  const sums: string[] = []
  for (const name of (await filesIn(tree)).toSorted()) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    sums.push(`${await sha256OfFile(join(tree, name), undefined)}  ${name}\n`)
  }
  await writeFile(join(tree, 'SHA256SUMS'), sums.join(''))
}

/** With the hash of the header that all bundles begin with. */
export async function loadScript(): Promise<string> {
  const script = await readFile(join(import.meta.dirname, 'load.sh'), 'utf8')
  return script.replace('@HEADER@', createHash('sha256').update(signatureHeader()).digest('hex'))
}

/** By their paths in the folder, through links. */
async function filesIn(folder: string, path = ''): Promise<string[]> {
  const found: string[] = []
  for (const name of await readdir(join(folder, path))) {
    const at = path === '' ? name : `${path}/${name}`
    // oxlint-disable-next-line no-await-in-loop -- few enough
    if ((await stat(join(folder, at))).isDirectory()) found.push(...(await filesIn(folder, at)))
    else found.push(at)
  }
  return found
}

async function begin(file: string, bytes: Buffer): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    await handle.write(bytes, 0, bytes.length, 0)
    await handle.sync()
  } finally {
    await handle.close()
  }
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
