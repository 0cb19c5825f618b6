import { createHash, createPublicKey } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { projectVersion } from '../images/build-image.ts'
import { bundleContents, ContentsError } from './contents.ts'
import { KeyError, loadScript, makeBundle, readSigningKey } from './make-bundle.ts'

/** `npm run bundle`: everything that a site without internet installs from, as one signed file. docs/install.md tells of the other side. */
const usage = `usage: npm run bundle -- --signing-key FILE [options]
  --signing-key FILE  Ed25519, PEM: openssl genpkey -algorithm ed25519 -out bundle.key
  --model FILE        a model file to put in; more than once, or not at all
  --image NAMES       which images, as gateway,tokenizer,audit,worker-cpu,probe (default: all)
  --images FOLDER     take images that "npm run images:build" made, in place of building them
  --out FILE          default: intramuros-VERSION.bundle
`

/** Called wrongly. */
class UsageError extends Error {}

try {
  await main()
} catch (thrown) {
  if (thrown instanceof UsageError) {
    process.stderr.write(`${thrown.message}\n${usage}`)
    process.exitCode = 2
  } else if (thrown instanceof Error) {
    // Of what tools and files say, too: nobody wants a stack who lacks a file or room on a disk.
    process.stderr.write(`${thrown.message}\n`)
    process.exitCode = 1
  } else throw thrown
}

async function main(): Promise<void> {
  const { 'signing-key': keyFile, model = [], image, images, out } = options()
  if (keyFile === undefined) throw new UsageError('--signing-key is missing: the bundle is signed, so that the other side knows whose it is.')
  const signingKey = await readKey(keyFile)
  const version = await projectVersion()
  const file = resolve(out ?? `intramuros-${version}.bundle`)
  const folder = dirname(file)
  await mkdir(folder, { recursive: true })
  const work = await mkdtemp(join(folder, '.bundle-'))
  try {
    const content = await bundleContents({ work, imageNames: image, builtImages: images, models: model, version, say: (line) => process.stdout.write(`${line}\n`) })
    const { size, sha256 } = await makeBundle(file, { content, signingKey })
    const script = await loadScript()
    const publicKey = createPublicKey(readSigningKey(signingKey)).export({ type: 'spki', format: 'pem' })
    await writeFile(join(folder, 'load.sh'), script, { mode: 0o755 })
    await writeFile(join(folder, 'bundle.pub.pem'), publicKey)
    process.stdout.write(`
${sha256}  ${file}  ${(size / 1e6).toFixed(0)} MB
${sha256Of(script)}  ${join(folder, 'load.sh')}
${sha256Of(publicKey)}  ${join(folder, 'bundle.pub.pem')}

The last two must reach the other side by another way than the bundle, or their SHA-256 be compared there: they say whose bundle it is. There:
  sh load.sh ${file.slice(folder.length + 1)} --key bundle.pub.pem                 # checks and unpacks it; then docs/install.md in it
`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

function options(): { 'signing-key'?: string; model?: string[]; image?: string[]; images?: string; out?: string } {
  try {
    return parseArgs({
      options: { 'signing-key': { type: 'string' }, model: { type: 'string', multiple: true }, image: { type: 'string', multiple: true }, images: { type: 'string' }, out: { type: 'string' } },
    }).values
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : '')
  }
}

async function readKey(file: string): Promise<string> {
  const make = 'Make one with "openssl genpkey -algorithm ed25519 -out bundle.key", and keep it where only you can read it.'
  const pem = await readFile(file, 'utf8').catch((thrown: unknown) => {
    throw new ContentsError(`The key ${file} can not be read (${thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''}). ${make}`)
  })
  try {
    readSigningKey(pem)
  } catch (thrown) {
    if (thrown instanceof KeyError) throw new ContentsError(`The key ${file} can not sign a bundle: ${thrown.message}. ${make}`)
    throw thrown
  }
  return pem
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
