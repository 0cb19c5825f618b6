import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from '../../shared/config/load.ts'
import { writeHollowModel } from '../../../test/support/hollow-model.ts'
import { hollowModels } from '../../../test/support/hollow-models.ts'
import { exitStatusOf } from './context.ts'
import { registerModels } from './models.ts'
import { opennessGrade } from './openness.ts'

let home: string
let llama: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-models-'))
  llama = join(home, 'llama.gguf')
  const hollow = hollowModels['llama-3.1-8b']
  if (hollow === undefined) throw new Error('no such model')
  const metadata = { ...hollow.metadata, 'general.file_type': 15, 'general.license': 'llama3.1', 'tokenizer.chat_template': 'a\u001B[2Jb' }
  await writeHollowModel(llama, { ...hollow, metadata })
})
afterEach(async () => {
  process.exitCode = undefined
  await rm(home, { recursive: true, force: true })
})

/** What the command set. */
function exitCode(): number {
  return Number(process.exitCode ?? 0)
}

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out = new PassThrough({ encoding: 'utf8' })
  const err = new PassThrough({ encoding: 'utf8' })
  const program = new Command('intramuros').exitOverride().configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
  const env = { INTRAMUROS_HOME: home }
  registerModels(program, { env, file: undefined, config: () => loadConfig({ env }), home: () => home, directory: () => ({ home, place: undefined }), knownModels: () => [], auditFolder: () => home, auditKeyFile: () => '', out, err })
  let status = 0
  process.exitCode = undefined
  try {
    await program.parseAsync(['models', ...args], { from: 'user' })
    status = exitCode()
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    status = exitStatusOf(thrown)
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

test('fit prints what a model takes by device, and how it would be loaded, without loading it', async () => {
  const { status, out } = await run('fit', llama, '--gpu', '24GiB', '--ram', '16GiB')
  expect(status).toBe(0)
  expect(out).toContain('llama, 32 layers, weights 4.7 GiB, trained for 131072 tokens')
  expect(out).toMatch(/^4 +8192 +33 of 33 +4\.\d GiB +5\.0 GiB .* yes$/m)
  expect(out).toMatch(/^16 +131072 .* no$/m)
  expect(out).toMatch(/Choice: \d+ slots? \(and a spare one\) of \d+ tokens with kvCacheType f16, 33 layers on the GPU: \d+ MiB of RAM, \d+\.\d GiB of GPU memory\./)
})

test('fit refuses with status 1, with the numbers and with what would fit', async () => {
  const asked = ['--context', '8192', '--slots', '8', '--ram', '8GiB', '--gpu', '0B']
  const { status, out } = await run('fit', llama, ...asked)
  expect(status).toBe(1)
  expect(out).toMatch(/needs 1\d\.\d GiB of RAM \(weights 4\.\d GiB, KV cache 9\.0 GiB, .*; 8\.0 GiB of RAM can be had\. What would fit: 8 slots \(and a spare one\) of 8192 tokens with kvCacheType q4_0/)
  const told: unknown = JSON.parse((await run('fit', llama, ...asked, '--json')).out)
  expect(told).toMatchObject({ choice: null, layers: 32, exact: true, plans: [{ slots: 8, contextLength: 8192, fits: false, ram: { cache: 9 * 2 ** 30 } }] })
  expect(await run('fit', llama, ...asked, '--kv-cache-type', 'q4_0')).toMatchObject({ status: 0 })
})

test('what can not be meant is told', async () => {
  expect(await run('fit', llama, '--gpu', '24')).toMatchObject({ status: 2, err: expect.stringContaining('--gpu takes a size') as string })
  expect(await run('fit', llama, '--slots', '0')).toMatchObject({ status: 2 })
  expect(await run('fit', llama, '--kv-cache-type', 'q8_0', '--flash-attention', 'off')).toMatchObject({ status: 2 })
  expect(await run('show', 'smollm2-135m-instuct')).toMatchObject({ status: 2, err: expect.stringContaining('Did you mean "smollm2-135m-instruct"?') as string })
  expect(await run('fit', 'smollm2-135m-instruct')).toMatchObject({ status: 1, err: expect.stringContaining('is not here yet') as string })
  const headless = join(home, 'headless.gguf')
  const hollow = hollowModels['llama-3.1-8b']
  await writeHollowModel(headless, { tensors: hollow?.tensors ?? [], metadata: { ...hollow?.metadata, 'llama.attention.head_count': 0 } })
  expect(await run('fit', headless)).toMatchObject({ status: 1, err: expect.stringContaining('no llama.attention.head_count') as string })
  const broken = join(home, 'broken.gguf')
  await writeFile(broken, 'GGUF')
  expect(await run('show', broken)).toMatchObject({ status: 1, err: expect.stringContaining('is cut short') as string })
})

test('show tells what the file and the catalogue say, and invents nothing', async () => {
  const { status, out } = await run('show', llama)
  expect(status).toBe(0)
  expect(out).toMatch(/^id +none: it is in no catalogue$/m)
  expect(out).toMatch(/^parameters +8\.0\d billion$/m)
  expect(out).toMatch(/^quantisation +Q4_K_M$/m)
  expect(out).toMatch(/^licence +unknown; the file says "llama3\.1"$/m)
  expect(out).toMatch(/^openness +unknown$/m)
  expect(out).toMatch(/^digest +none is pinned$/m)
  // What a file says is no command to a terminal.
  expect((await run('show', llama, '--template')).out).toBe('a[2Jb\n')
  const known: unknown = JSON.parse((await run('show', 'smollm2-135m-instruct', '--json')).out)
  expect(known).toMatchObject({ files: [], licence: 'Apache-2.0', grade: 'open: weights, code, data and paper', pinnedDigest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string, digests: null })
})

test('show computes a digest when it is asked to', async () => {
  const small = join(home, 'small.gguf')
  await writeHollowModel(small, { metadata: { 'general.architecture': 'x', 'x.block_count': 1, 'x.embedding_length': 1, 'x.context_length': 8 }, tensors: [['token_embd.weight', [1, 8], 'F32']] })
  const { out } = await run('show', small, '--digest', '--json')
  expect(JSON.parse(out)).toMatchObject({ pinnedDigest: null, digests: [expect.stringMatching(/^sha256:[0-9a-f]{64}$/)] })
})

test('list tells what is served, what is here and how open it is', async () => {
  const openness = { weights: true, code: false, data: false, paper: true }
  const entry = { id: 'llama', file: 'llama.gguf', licence: 'LicenseRef-Llama-3.1', contextLength: 131_072, openness, from: { path: llama } }
  await mkdir(home, { recursive: true })
  await writeFile(join(home, 'intramuros.yaml'), JSON.stringify({ models: [entry] }))
  const { out } = await run('list')
  expect(out).toMatch(/^smollm2-135m-instruct +yes +no +94 MiB +Apache-2\.0 +open: weights, code, data and paper$/m)
  expect(out).toMatch(/^llama +no +yes +4\.7 GiB +LicenseRef-Llama-3\.1 +open weights only: not open source by OSI's OSAID$/m)
  expect(JSON.parse((await run('list', '--json')).out)).toMatchObject([{ id: 'smollm2-135m-instruct', path: null }, { id: 'llama', served: false, path: llama }])
})

test.each([
  [{ weights: true, code: true, data: true, paper: false }, 'MIT', 'open: weights, code and data'],
  [{ weights: true, code: true, data: true, paper: true }, 'LicenseRef-own', /^all published, under terms of its own: not open source/],
  [{ weights: true, code: true, data: false, paper: true }, 'MIT', /without the data: not open source/],
  [{ weights: true, code: false, data: true, paper: true }, 'MIT', /without the code: not open source/],
  [{ weights: false, code: true, data: true, paper: true }, 'MIT', 'closed'],
])('openness of %o under %s', (openness, licence, grade) => {
  expect(opennessGrade({ openness, licence })).toMatch(grade)
})
