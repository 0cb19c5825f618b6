import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isAlive } from '../../deploy/local/is-alive.ts'
import { readPlatformFile } from '../../deploy/local/platform-file.ts'
import { encrypted } from '../../services/shared/age/file.ts'
import { keyFileText, newKeyPair } from '../../services/shared/age/keys.ts'
import { builtinModels } from '../../services/shared/models/catalogue.ts'
import { storedPath } from '../../services/shared/models/store.ts'
import { until } from '../support/platform.ts'
import { runProgram } from '../support/run-program.ts'

const main = join(import.meta.dirname, '../../services/cli/main.ts')
// tmpfs is Linux' own.
const skip = process.platform !== 'linux'
const launched: ChildProcess[] = []
let root = ''
let home = ''
let stored = ''

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'intramuros-encrypted-'))
  home = join(root, 'state')
  const [entry] = builtinModels
  const model = process.env['INTRAMUROS_TEST_MODEL']
  if (entry?.sha256 === undefined || model === undefined) throw new Error('there is no model to test with')
  stored = storedPath(home, { ...entry, sha256: entry.sha256 })
  await mkdir(dirname(stored), { recursive: true })
  await copyFile(model, stored)
})

afterAll(async () => {
  for (const child of launched) child.kill('SIGKILL')
  for (const { pid } of readPlatformFile(home)?.children ?? []) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  await rm(root, { recursive: true, force: true })
})

interface Output {
  process: ChildProcess
  stdout: string
  stderr: string
}

function intramuros(args: readonly string[], settings: Readonly<Record<string, string>> = {}): Output {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_') && !name.startsWith('OTEL_'))
  const anyPorts = ['GATEWAY_PORT', 'GATEWAY_METRICS_PORT', 'AUDIT_METRICS_PORT', 'TOKENIZER_METRICS_PORT', 'INFERENCE_WORKER_METRICS_PORT'].map((name): [string, string] => [`INTRAMUROS_${name}`, '0'])
  const env = { ...Object.fromEntries([...inherited, ...anyPorts]), INTRAMUROS_HOME: home, INTRAMUROS_INFERENCE_WORKER_THREADS: '1', ...settings }
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
  launched.push(child)
  const output = { process: child, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  return output
}

async function ended({ process: child }: Output): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

async function start(settings?: Readonly<Record<string, string>>): Promise<Output> {
  const output = intramuros(['start'], settings)
  await until(() => output.stdout.includes('Stop with Ctrl-C.') || output.process.exitCode !== null, 'the platform to be ready', 60_000)
  expect(output.process.exitCode, output.stderr).toBeNull()
  return output
}

/** Why it does not start. */
async function refused(settings: Readonly<Record<string, string>>): Promise<string> {
  const output = intramuros(['start'], settings)
  expect(await ended(output)).toBe(78)
  return output.stderr
}

async function greedyAnswer({ stdout }: Output, key: string): Promise<unknown> {
  const outgoing = request(`${/ready: (\S+)/.exec(stdout)?.[1]}/v1/chat/completions`, {
    method: 'POST',
    ca: await readFile(/CA certificate +(\S.*)/.exec(stdout)?.[1] ?? ''),
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(30_000),
    agent: false,
  })
  const messages = [{ role: 'user', content: 'Why is the sky blue?' }]
  outgoing.end(JSON.stringify({ model: 'smollm2-135m-instruct', max_tokens: 24, temperature: 0, messages }))
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  const answer = JSON.parse(await text(response)) as { choices: { message: unknown }[]; usage: unknown }
  return { message: answer.choices[0]?.message, usage: answer.usage }
}

async function environmentOf(name: string): Promise<string> {
  const child = readPlatformFile(home)?.children.find((one) => one.name === name)
  return await readFile(`/proc/${child?.pid}/environ`, 'utf8')
}

it('a model is encrypted, served with the same answers, and verified; without its key or with a bit flipped it is not', { skip, timeout: 240_000 }, async () => {
  const plain = await start()
  const key = /API key +(sk-im-\S+)/.exec(plain.stdout)?.[1] ?? ''
  const answer = await greedyAnswer(plain, key)
  expect(answer).toMatchObject({ message: { content: expect.stringMatching(/\w{3}/) as unknown } })
  plain.process.kill('SIGINT')
  await ended(plain)

  const keyFile = join(root, 'key')
  expect(await ended(intramuros(['models', 'encrypt', 'smollm2-135m-instruct', '--new-key', keyFile, '--remove-plaintext']))).toBe(0)
  expect((await readdir(dirname(stored))).filter((name) => name.includes('gguf'))).toEqual([`${stored.slice(dirname(stored).length + 1)}.age`])
  const secret = /AGE-SECRET-KEY-1\S+/.exec(await readFile(keyFile, 'utf8'))?.[0] ?? 'no key'

  // By a variable, which reaches the two services that read models and no other.
  const namesBefore = await readdir('/dev/shm')
  const sealed = await start({ INTRAMUROS_MODEL_ENCRYPTION_KEY_VARIABLE: 'INTRAMUROS_MODEL_KEY', INTRAMUROS_MODEL_KEY: secret })
  expect(await greedyAnswer(sealed, key)).toEqual(answer)
  expect((await readdir('/dev/shm')).filter((name) => !namesBefore.includes(name))).toEqual([])
  for (const name of ['gateway', 'audit']) expect(await environmentOf(name)).not.toContain(secret)
  for (const name of ['tokenizer', 'inference-worker']) expect(await environmentOf(name)).toContain(secret)
  sealed.process.kill('SIGINT')
  await ended(sealed)
  expect(`${sealed.stdout}${sealed.stderr}`).not.toContain(secret.slice(20))

  const settings = { INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE: keyFile }
  const verified = intramuros(['models', 'verify', '--json'], settings)
  expect([await ended(verified), verified.stdout]).toEqual([0, expect.stringContaining('"status":"ok"')])

  expect(await refused({})).toContain('No key is set: set modelEncryption.keyFile, keyVariable or keyCommand.')
  const other = join(root, 'other-key')
  await writeFile(other, keyFileText(await newKeyPair(), new Date()))
  expect(await refused({ INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE: other })).toContain('it is encrypted for another key than the one given')

  const file = await open(`${stored}.age`, 'r+')
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 50_000_000)
  await file.write(Buffer.of(buffer.readUInt8(0) ^ 1), 0, 1, 50_000_000)
  await file.close()
  expect(await refused(settings)).toContain("can't be decrypted: it is damaged or cut short")
  expect(await ended(intramuros(['models', 'verify'], settings))).toBe(1)
})

it('the peak of memory while two gibibytes are decrypted, what lies in memory included, is below 1.15 times their size', { skip, timeout: 180_000 }, async () => {
  const size = 2 ** 31
  const own = join(root, 'large')
  await mkdir(own)
  const [sealed, keyFile] = [join(own, 'large.gguf.age'), join(own, 'key')]
  const pair = await newKeyPair()
  await writeFile(keyFile, keyFileText(pair, new Date()))
  // A plain file that is nowhere: the same mebibyte over and over.
  const piece = randomBytes(1 << 20)
  const plain = {
    stat: async () => await Promise.resolve({ size }),
    read: async (buffer: Buffer, offset: number, length: number, position: number) =>
      await Promise.resolve({ bytesRead: piece.copy(buffer, offset, position % piece.length, (position % piece.length) + length) }),
  }
  await writeFile(sealed, encrypted(plain, [pair.recipient], new AbortController().signal))
  const hash = createHash('sha256')
  for (let position = 0; position < size; position += piece.length) hash.update(piece)
  const openness = { weights: true, code: true, data: true, paper: true }
  const entry = { id: 'large', file: 'large.gguf', size, sha256: hash.digest('hex'), licence: 'MIT', contextLength: 1, openness, from: { path: sealed } }
  await writeFile(join(own, 'intramuros.yaml'), JSON.stringify({ models: [entry], modelEncryption: { keyFile } }))

  const child = join(import.meta.dirname, 'test-children/decrypt-to-memory.ts')
  const told = await runProgram('env', [`INTRAMUROS_HOME=${own}`, process.execPath, child], { timeoutMs: 120_000 })
  const { size: inMemory, residentPeak } = JSON.parse(told) as { size: number; residentPeak: number }
  await rm(own, { recursive: true })
  expect(inMemory).toBe(size)
  // Written, not mapped: the file's own pages are not among the process's resident ones.
  const peak = (inMemory + residentPeak) / size
  expect(peak).toBeGreaterThan(1)
  expect(peak).toBeLessThan(1.15)
})
