import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { images } from '../images/image-list.ts'
import { layOutBundle } from './lay-out.ts'
import { loadScript, makeBundle } from './make-bundle.ts'

/** `npm run bundle`: one signed file with everything that a closed site needs. See docs/install.md. */
const project = join(import.meta.dirname, '../..')
const usage = `usage: npm run bundle -- --signing-key KEY.pem [--out FILE] [--model FILE]... [--image NAME,...] [--images FOLDER]
  --signing-key FILE  Ed25519, PKCS #8 PEM. One is made by: openssl genpkey -algorithm ed25519 -out bundle-key.pem
                      and its public key, which the other side needs, by: openssl pkey -in bundle-key.pem -pubout -out bundle-key.pub
  --out FILE          default: intramuros-VERSION.bundle
  --model FILE        a model to take along; may be given several times
  --image NAMES       which images, of: ${images.map(({ name }) => name).join(', ')}; default: all
  --images FOLDER     take them from there, as npm run images:build has made them, in place of building them
`

await main().catch((thrown: unknown) => {
  process.stderr.write(`bundle: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  process.exitCode = 1
})

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { 'signing-key': { type: 'string' }, out: { type: 'string' }, model: { type: 'string', multiple: true }, image: { type: 'string', multiple: true }, images: { type: 'string' }, help: { type: 'boolean' } },
  })
  const { 'signing-key': keyFile, model: models = [] } = values
  if (values.help === true || keyFile === undefined) {
    process.stderr.write(usage)
    process.exitCode = values.help === true ? 0 : 2
    return
  }
  const names = values.image?.flatMap((list) => list.split(',')) ?? images.map(({ name }) => name)
  const unknown = names.find((name) => !images.some((image) => image.name === name))
  if (unknown !== undefined) throw new Error(`there is no image ${unknown}: there are ${images.map(({ name }) => name).join(', ')}.`)
  const signingKey = await readable(keyFile, 'the signing key')
  for (const model of models) {
    // oxlint-disable-next-line no-await-in-loop -- a handful
    if (!(await stat(model).catch(() => undefined))?.isFile()) throw new Error(`the model ${model} is not there.`)
  }
  const out = resolve(values.out ?? `intramuros-${await projectVersion()}.bundle`)
  // Beside the result, where there must be room for it anyway.
  const work = await mkdtemp(`${out}.work-`)
  try {
    const folder = values.images ?? join(work, 'images')
    if (values.images === undefined) buildImages(names, folder)
    const tree = join(work, 'tree')
    await layOutBundle(tree, { project, images: names.map((name) => join(folder, `${name}.tar`)), models })
    const digest = await makeBundle(out, tree, signingKey)
    await writeFile(join(dirname(out), 'load.sh'), await loadScript())
    const megabytes = Math.round((await stat(out)).size / 1e6)
    process.stdout.write(`${out}  ${megabytes} MB, SHA-256 of what is signed: ${digest}\nOn the other side, with the public key and load.sh, which lies beside it:\n\n  sh load.sh ${basename(out)} --key bundle-key.pub\n\n`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

function buildImages(names: readonly string[], folder: string): void {
  const { status } = spawnSync(process.execPath, [join(project, 'deploy/images/build-images.ts'), '--image', names.join(','), '--out', folder], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) throw new Error('the images could not be built: see above.')
}

async function readable(file: string, what: string): Promise<string> {
  return readFile(file, 'utf8').catch((thrown: unknown) => {
    throw new Error(`${what} ${file} can't be read: ${thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown'}.`)
  })
}

async function projectVersion(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as { version: string }
  return manifest.version
}
