import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isAlive } from '../../deploy/local/is-alive.ts'
import { readPlatformFile } from '../../deploy/local/platform-file.ts'
import { builtinModels } from '../../services/shared/models/catalogue.ts'
import { storedPath } from '../../services/shared/models/store.ts'
import { until } from '../support/platform.ts'

const main = join(import.meta.dirname, '../../services/cli/main.ts')
const home = join(mkdtempSync(join(tmpdir(), 'intramuros-launcher-')), 'state')
const launched: ChildProcess[] = []

beforeAll(() => {
  const [entry] = builtinModels
  const model = process.env['INTRAMUROS_TEST_MODEL']
  if (entry?.sha256 === undefined || model === undefined) throw new Error('there is no model to test with')
  const place = storedPath(home, { ...entry, sha256: entry.sha256 })
  mkdirSync(dirname(place), { recursive: true })
  symlinkSync(model, place)
})

afterAll(() => {
  for (const child of launched) child.kill('SIGKILL')
  for (const { pid } of readPlatformFile(home)?.children ?? []) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  rmSync(dirname(home), { recursive: true, force: true })
})

interface Output {
  process: ChildProcess
  stdout: string
  stderr: string
}

/** The `intramuros` command in a process of its own, as a person would run it. */
function intramuros(...args: string[]): Output {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_') && !name.startsWith('OTEL_'))
  const anyPorts = ['GATEWAY_PORT', 'GATEWAY_METRICS_PORT', 'AUDIT_METRICS_PORT', 'TOKENIZER_METRICS_PORT', 'INFERENCE_WORKER_METRICS_PORT']
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(inherited), ...Object.fromEntries(anyPorts.map((name) => [`INTRAMUROS_${name}`, '0'])), INTRAMUROS_HOME: home },
  })
  launched.push(child)
  const output = { process: child, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  return output
}

/** Starts the platform and waits for its banner. */
async function start(): Promise<Output> {
  const output = intramuros('start')
  await until(() => output.stdout.includes('Stop with Ctrl-C.') || output.process.exitCode !== null, 'the platform to be ready', 60_000)
  expect(output.stderr === '' ? '' : output.stderr, 'the log').not.toContain('"level":"error"')
  expect(output.process.exitCode).toBeNull()
  return output
}

async function ended({ process: child }: Output): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

/** What follows a label in the banner. */
function told({ stdout }: Output, label: RegExp): string {
  const found = label.exec(stdout)?.[1]
  if (found === undefined) throw new Error(`the banner does not tell ${label}:\n${stdout}`)
  return found
}

async function chat(platform: Output, key: string): Promise<{ status: number | undefined; body: string }> {
  const outgoing = request(`${told(platform, /ready: (\S+)/)}/v1/chat/completions`, {
    method: 'POST',
    ca: readFileSync(told(platform, /CA certificate +(\S.*)/)),
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(30_000),
    agent: false,
  })
  outgoing.end(JSON.stringify({ model: 'smollm2-135m-instruct', max_tokens: 8, messages: [{ role: 'user', content: 'Say hello.' }] }))
  const [response] = await new Promise<[IncomingMessage]>((resolve, reject) => {
    outgoing.once('response', (message) => resolve([message])).once('error', reject)
  })
  return { status: response.statusCode, body: await text(response) }
}

it('starts, answers, survives being killed, starts again, and ends in good order', { timeout: 180_000 }, async () => {
  const first = await start()
  const key = told(first, /API key +(sk-im-\S+)/)
  for (const [, address] of first.stdout.matchAll(/(http:\S+)\/metrics/g)) expect((await fetch(`${address}/readyz`)).status).toBe(200)
  const answer = await chat(first, key)
  expect(answer).toMatchObject({ status: 200 })
  expect(JSON.parse(answer.body)).toMatchObject({ choices: [{ message: { role: 'assistant', content: expect.stringMatching(/./) as unknown } }] })

  const status = intramuros('status')
  expect(await ended(status)).toBe(0)
  expect(status.stdout).toMatch(/gateway +ready/)

  // A second one on the same folder names the first.
  const second = intramuros('start')
  expect(await ended(second)).toBe(1)
  expect(second.stderr).toContain(`already running as process ${first.process.pid} since`)

  // Teams and keys count at once.
  const created = intramuros('keys', 'create', '--team', 'default')
  expect(await ended(created)).toBe(0)
  expect((await chat(first, created.stdout.trim())).status).toBe(200)

  const left = readPlatformFile(home)?.children.map(({ pid }) => pid) ?? []
  expect(left).toHaveLength(4)
  first.process.kill('SIGKILL')
  const again = await start()
  expect(left.filter(isAlive)).toEqual([])
  expect(again.stdout).not.toContain('sk-im-')
  expect((await chat(again, key)).status).toBe(200)

  again.process.kill('SIGINT')
  expect(await ended(again)).toBe(0)
  expect(readPlatformFile(home)).toBeUndefined()

  const verified = intramuros('audit', 'verify')
  expect([await ended(verified), verified.stderr]).toEqual([0, ''])
})
