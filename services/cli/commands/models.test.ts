import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from '../../shared/config/load.ts'
import { type FileServer, startFileServer } from '../../shared/models/test-support/file-server.ts'
import { splitModel, writeSplitModel } from '../../shared/models/test-support/split-model.ts'
import type { VerifiedFile } from '../../shared/models/verify.ts'
import { exitStatusOf } from './context.ts'
import { registerModels } from './models.ts'

const model = Buffer.concat([Buffer.from('GGUF'), randomBytes(200_000)])
const sha256 = createHash('sha256').update(model).digest('hex')

let server: FileServer
let home = ''
let file = ''
beforeEach(async () => {
  server = await startFileServer()
  home = await mkdtemp(join(tmpdir(), 'intramuros-models-'))
  file = join(home, 'intramuros.yaml')
  server.files.set('/owner/own/resolve/main/own.gguf', { body: model, etag: '"1"' })
})
afterEach(async () => {
  await server.close()
  await rm(home, { recursive: true })
})

/** A configuration with one model on the hub, pinned or not. */
async function configure(pin: string): Promise<void> {
  const text = `# Ours.
sources: { hub: "${server.url.href}", packageIndex: "http://127.0.0.1:9/" }
models:
  - id: own # the one
    file: own.gguf
${pin}    licence: MIT
    contextLength: 128
    openness: { weights: true, code: false, data: false, paper: false }
    from: { hub: { repo: owner/own, revision: main, file: own.gguf } }
`
  await writeFile(file, text)
}

interface Ran {
  status: number
  out: string
  err: string
}

async function run(args: string[], settings: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const out = new PassThrough({ encoding: 'utf8' })
  const err = new PassThrough({ encoding: 'utf8' })
  const env = { INTRAMUROS_HOME: home, HOME: home, ...settings }
  const program = new Command('intramuros').exitOverride().configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
  registerModels(program, {
    env,
    file: undefined,
    config: () => loadConfig({ env }),
    home: () => home,
    directory: () => ({ home, place: undefined }),
    knownModels: () => [],
    auditFolder: () => home, auditKeyFile: () => '',
    out,
    err,
  })
  let status = 0
  try {
    await program.parseAsync(['models', ...args], { from: 'user' })
  } catch (thrown) {
    if (thrown instanceof CommanderError) status = exitStatusOf(thrown)
    else if (thrown instanceof Error && ['EncryptedModelError', 'ModelUnavailable', 'FatalStartError'].includes(thrown.name)) {
      status = 1
      err.write(thrown.message)
    } else throw thrown
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

const stored = (): string => join(home, 'models', `${sha256.slice(0, 12)}-own.gguf`)

test('pull fetches a pinned model, and again from where it is', async () => {
  await configure(`    sha256: ${sha256}\n`)
  expect(await run(['pull', 'own'])).toMatchObject({ status: 0, out: `${stored()}\n` })
  const asked = server.requests.length
  expect(await run(['pull', 'own', '--confirm', sha256])).toMatchObject({ status: 0, out: `${stored()}\n` })
  expect(server.requests).toHaveLength(asked)
  expect((await run(['pull', 'own', '--confirm', 'b'.repeat(64)])).status).toBe(2)
  expect(await run(['pull', 'owm'])).toMatchObject({ status: 2, err: expect.stringContaining('Did you mean "own"?') as unknown })
})

test('pull shows what it found of an unpinned model, pins nothing unasked, and writes the pin once confirmed', async () => {
  await configure('')
  const before = await readFile(file, 'utf8')
  const shown = await run(['pull', 'own'])
  expect(shown).toMatchObject({ status: 1, out: '' })
  expect(shown.err).toContain(`size     ${model.length} bytes\n  SHA-256  ${sha256}`)
  expect(shown.err).toContain(`intramuros models pull own --confirm ${sha256}`)
  expect(await run(['pull', 'own', '--confirm', 'b'.repeat(64)])).toMatchObject({ status: 1, err: expect.stringContaining('not the SHA-256 that was given') as unknown })
  expect(await readFile(file, 'utf8')).toBe(before)
  expect(existsSync(stored())).toBe(false)
  const asked = server.requests.length

  expect(await run(['pull', 'own', '--confirm', sha256])).toMatchObject({ status: 0, out: `${stored()}\n` })
  // It was kept from the first time.
  expect(server.requests).toHaveLength(asked)
  expect(await readFile(file, 'utf8')).toBe(before.replace('own.gguf\n', `own.gguf\n    sha256: "${sha256}"\n    size: ${model.length}\n`))
  expect((await readFile(stored())).equals(model)).toBe(true)
  expect((await run(['verify', 'own'])).status).toBe(0)
})

test('a size in the entry that is another is refused before any pin', async () => {
  await configure('    size: 5\n')
  expect((await run(['pull', 'own', '--confirm', sha256])).status).toBe(1)
  expect(await readFile(file, 'utf8')).not.toContain('sha256')
})

test('a configuration that can not be changed safely is left as it is, and the lines are told', async () => {
  await configure('')
  const braces = (await readFile(file, 'utf8')).replace(/ {2}- id[^]*$/, '  - { id: own, file: own.gguf, licence: MIT, contextLength: 128, openness: { weights: true, code: false, data: false, paper: false }, from: { hub: { repo: owner/own, revision: main, file: own.gguf } } }\n')
  await writeFile(file, braces)
  const { status, err } = await run(['pull', 'own', '--confirm', sha256])
  expect(status).toBe(1)
  expect(err).toContain(`sha256: "${sha256}"\n  size: ${model.length}`)
  expect(await readFile(file, 'utf8')).toBe(braces)
})

test('a model in parts: list, show and verify tell of each, pull without digests and encrypt are refused', async () => {
  const { entry, contents } = splitModel()
  const paths = await writeSplitModel(join(home, 'own'), { contents })
  const text = (more: object): string => JSON.stringify({ models: [{ ...entry, from: { path: paths[0] }, ...more }] })
  await writeFile(file, text({}))
  const size = contents.reduce((sum, { length }) => sum + length, 0)
  const listed = JSON.parse((await run(['list', '--json'])).out) as { id: string }[]
  expect(listed.find(({ id }) => id === 'm')).toMatchObject({ path: paths[0], size })
  const verified = JSON.parse((await run(['verify', 'm', '--json'])).out) as VerifiedFile[]
  expect(verified.map(({ path, status }) => [path, status])).toEqual(paths.map((path) => [path, 'ok']))
  await rm(paths[2] ?? '')
  // Not asked for by name, but begun.
  expect(await run(['verify'])).toMatchObject({ status: 1, out: expect.stringContaining(`m: ${paths[2]}: it is a part of the model, and not here`) as unknown })
  expect(await run(['encrypt', 'm', '--new-key', join(home, 'key')])).toMatchObject({ status: 1, err: expect.stringContaining('llama-gguf-split --merge') as unknown })
  expect(existsSync(join(home, 'key'))).toBe(false)
  await writeFile(file, text({ sha256: undefined, parts: undefined, from: { hub: { repo: 'owner/m', revision: 'main', file: entry.file } } }))
  expect(await run(['pull', 'm'])).toMatchObject({ status: 1, err: expect.stringContaining('write sha256 (of the first) and parts') as unknown })
})

test('encrypt, verify, and delete the plain file', async () => {
  await configure(`    sha256: ${sha256}\n`)
  expect(await run(['encrypt', 'own', '--new-key', join(home, 'key')])).toMatchObject({ status: 1, err: expect.stringContaining('"intramuros models pull own" fetches it') as unknown })
  await run(['pull', 'own'])
  expect(await run(['encrypt', 'own'])).toMatchObject({ status: 2, err: expect.stringContaining('--new-key FILE to make one') as unknown })

  const keyFile = join(home, 'key')
  const encrypted = await run(['encrypt', 'own', '--new-key', keyFile, '--remove-plaintext'])
  expect(encrypted).toMatchObject({ status: 0, out: `${stored()}.age\n` })
  expect([existsSync(stored()), (await stat(keyFile)).mode & 0o777]).toEqual([false, 0o600])
  const secret = /AGE-SECRET-KEY-1\S+/.exec(await readFile(keyFile, 'utf8'))?.[0] ?? ''
  expect(secret).not.toBe('')
  expect(encrypted.err).not.toContain(secret)

  const settings = { INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE: keyFile }
  const verified = await run(['verify', '--json'], settings)
  expect(verified.status).toBe(0)
  expect(JSON.parse(verified.out)).toEqual([expect.objectContaining({ id: 'own', status: 'ok', encrypted: true, sha256 })])

  // What is in it is told with the key, and without a file of it.
  expect(await run(['show', 'own', '--json'])).toMatchObject({ status: 1, err: expect.stringContaining('is encrypted') as unknown })
  expect(await run(['fit', `${stored()}.age`], settings)).toMatchObject({ status: 1, err: expect.stringContaining('Name the model of the catalogue') as unknown })

  // Without the key, and with a bit flipped.
  expect(await run(['verify'])).toMatchObject({ status: 1, out: expect.stringContaining('No key is set') as unknown })
  const sealed = await readFile(`${stored()}.age`)
  sealed.writeUInt8(sealed.readUInt8(100_000) ^ 1, 100_000)
  await writeFile(`${stored()}.age`, sealed)
  const broken = await run(['verify', 'own', '--json'], settings)
  expect(broken.status).toBe(1)
  expect((JSON.parse(broken.out) as VerifiedFile[]).map(({ status }) => status)).toEqual(['unreadable'])
  expect((await run(['verify', 'smollm2-135m-instruct'])).status).toBe(1)
})

test('encrypt never overwrites a key or a file unasked, and takes recipients from files and from the key that is set', async () => {
  await configure(`    sha256: ${sha256}\n`)
  await run(['pull', 'own'])
  const keyFile = join(home, 'key')
  expect((await run(['encrypt', 'own', '--new-key', keyFile])).status).toBe(0)
  expect(await run(['encrypt', 'own', '--new-key', keyFile])).toMatchObject({ status: 2, err: expect.stringContaining('--force replaces it') as unknown })
  expect(await run(['encrypt', 'own', '--force', '--new-key', keyFile])).toMatchObject({ status: 1, err: expect.stringContaining('a key is never overwritten') as unknown })

  const settings = { INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE: keyFile }
  expect((await run(['encrypt', 'own', '--force'], settings)).status).toBe(0)
  expect((await run(['verify', 'own'], settings)).status).toBe(0)

  const recipient = /age1\S+/.exec(await readFile(keyFile, 'utf8'))?.[0] ?? ''
  const recipients = join(home, 'recipients')
  await writeFile(recipients, `# ours\n${recipient}\n`)
  await mkdir(join(home, 'elsewhere'))
  const output = join(home, 'elsewhere/own.age')
  expect((await run(['encrypt', 'own', '--recipient-file', recipients, '--output', output])).status).toBe(0)
  expect((await readFile(output)).toString('latin1', 0, 21)).toBe('age-encryption.org/v1')
  expect((await run(['encrypt', 'own', '--recipient', recipient, '--output', output, '--force', '--remove-plaintext'])).status).toBe(2)
  expect((await run(['encrypt', 'own', '--force', '--recipient', 'age1x'])).status).toBe(2)
  expect(await run(['encrypt', 'own', '--force', '--recipient-file', keyFile])).toMatchObject({ status: 2, err: expect.stringContaining('a secret key') as unknown })
})
