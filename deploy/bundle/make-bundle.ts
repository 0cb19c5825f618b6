import { spawn } from 'node:child_process'
import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'

const signatureBytes = 64
const blockBytes = 512
/** What is signed: this and the SHA-256, in hexadecimal, of all bytes behind the first two blocks. */
const context = 'intramuros-bundle-v1'

/**
 * Writes one file: a tar of the folder, with load.sh and SHA256SUMS, whose first entry, SIGNATURE, is an Ed25519 signature of all that follows. So not one byte
 * can be changed unseen, and standard tools can check it before anything is unpacked (docs/install.md). The same files and key make the same bytes. Returns
 * the SHA-256 of what is signed. Throws an Error when the key is none, or the disk is full.
 */
export async function makeBundle(file: string, tree: string, signingKey: string): Promise<string> {
  const key = readKey(signingKey)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(join(tree, 'load.sh'), await loadScript())
  await writeFile(join(tree, 'SHA256SUMS'), await sumsOf(tree))
  const unfinished = `${file}.new`
  const handle = await open(unfinished, 'w')
  try {
    await handle.write(Buffer.concat([signatureHeader(), Buffer.alloc(blockBytes)]))
    const digest = await appendTar(tree, (chunk) => handle.writeFile(chunk))
    await handle.write(sign(null, Buffer.from(`${context}\n${digest}\n`), key), 0, signatureBytes, blockBytes)
    await handle.sync()
    await rename(unfinished, file)
    return digest
  } catch (thrown) {
    await rm(unfinished, { force: true })
    throw thrown
  } finally {
    await handle.close()
  }
}

function readKey(pem: string): KeyObject {
  const key = createPrivateKey(pem)
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`the key is ${key.asymmetricKeyType ?? 'of an unknown kind'}, not Ed25519`)
  return key
}

/** Writes the tar; resolves with its SHA-256. Pax headers are there only for names and sizes that need them, so that nothing of this machine gets in. */
async function appendTar(tree: string, write: (chunk: Buffer) => Promise<void>): Promise<string> {
  const fixed = ['--format=posix', '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--sort=name', '--mode=u=rwX,go=rX', '--hard-dereference']
  const child = spawn('tar', [...fixed, '-cf', '-', '-C', tree, '.'], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } })
  const ended = once(child, 'close') as Promise<[number | null]>
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const hash = createHash('sha256')
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    hash.update(chunk)
    await write(chunk)
  }
  const [status] = await ended
  if (status !== 0) throw new Error(`tar failed with status ${status}: ${said.slice(0, 2000).trim()}`)
  return hash.digest('hex')
}

/** With the hash of the header that all bundles begin with. */
export async function loadScript(): Promise<string> {
  const script = await readFile(join(import.meta.dirname, 'load.sh'), 'utf8')
  return script.replace('@HEADER@', createHash('sha256').update(signatureHeader()).digest('hex'))
}

/** As sha256sum writes them, of all files. */
async function sumsOf(tree: string): Promise<string> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true })
  const names = entries.filter((entry) => entry.isFile()).map((entry) => relative(tree, join(entry.parentPath, entry.name))).filter((name) => name !== 'SHA256SUMS')
  const sums: string[] = []
  for (const name of names.toSorted()) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: some are large
    sums.push(`${await sha256Of(join(tree, name))}  ${name}\n`)
  }
  return sums.join('')
}

export async function sha256Of(file: string): Promise<string> {
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
