import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isAlive } from './is-alive.ts'
import { readPlatformFile } from './platform-file.ts'

/** Stands for each of the four services: as the launcher sees them, alike. It notes what happens to it. */
const service = `
import { appendFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
const name = basename(dirname(process.argv[1]))
const env = process.env
const note = (what) => appendFileSync(env.TEST_JOURNAL, name + ' ' + what + '\\n')
const behaviour = (env.TEST_BEHAVIOUR ?? '').startsWith(name + ' ') ? env.TEST_BEHAVIOUR.slice(name.length + 1) : ''
note('started ' + JSON.stringify([env.INTRAMUROS_AUDIT_LISTEN, env.INTRAMUROS_INFERENCE_WORKER_LISTEN, env.INTRAMUROS_INFERENCE_WORKER_MODEL,
  env.INTRAMUROS_GATEWAY_PORT, env.INTRAMUROS_GATEWAY_WORKERS, env.INTRAMUROS_DRAIN_SECONDS, env.INTRAMUROS_HOME]))
if (behaviour === 'fatal') process.send({ type: 'fatal', message: 'The model is broken.' }, () => process.exit(78))
else {
  process.on('message', ({ type, limitMs }) => {
    note(type + ' ' + limitMs)
    if (behaviour !== 'deaf') process.exit(0)
  })
  process.on('disconnect', () => process.exit(0))
  process.send({ type: 'listening', ports: {} })
  process.send({ type: 'ready' })
}
`
const names = ['audit', 'tokenizer', 'inference-worker', 'gateway']

let home: string
let journal: string
let started: ChildProcess[]
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'intramuros-start-'))
  // A name that wants quoting.
  home = join(folder, 'a home')
  journal = join(folder, 'journal')
  for (const name of names) {
    mkdirSync(join(folder, 'services', name), { recursive: true })
    writeFileSync(join(folder, 'services', name, 'main.ts'), service)
  }
  writeFileSync(join(folder, 'services', 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'tiny.gguf'), 'tiny')
  const entry = { file: 'tiny.gguf', licence: 'MIT', contextLength: 8, openness: { weights: true, code: true, data: true, paper: true } }
  const from = { path: join(folder, 'tiny.gguf') }
  const models = [
    { id: 'tiny', ...entry, from },
    { id: 'small', ...entry, from },
  ]
  // YAML holds JSON.
  writeFileSync(join(folder, 'settings.yaml'), JSON.stringify({ models, serve: ['tiny', 'small'] }))
  started = []
})
afterEach(async () => {
  for (const launcher of started) {
    if (launcher.exitCode !== null || launcher.signalCode !== null) continue
    const exit = once(launcher, 'exit')
    launcher.kill('SIGKILL')
    await exit
  }
  for (const { pid } of readPlatformFile(home)?.children ?? []) {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  }
  rmSync(join(home, '..'), { recursive: true })
})

interface Launched {
  process: ChildProcess
  /** Resolves with the banner. */
  ready: Promise<string>
  /** Resolves with exit status and standard error. */
  ended: Promise<{ status: number | null; stderr: string }>
}

/** The launcher in a process of its own. */
function launch(env: Record<string, string> = {}, overrides: Record<string, unknown> = {}): Launched {
  const script = `import { start } from ${JSON.stringify(join(import.meta.dirname, 'start.ts'))}
    const [services, overrides] = process.argv.slice(1)
    start({ env: process.env, overrides: JSON.parse(overrides), services }).then((status) => process.exit(status), (error) => {
      console.error(error.message)
      process.exit(1)
    })`
  const ports = ['gateway.port', 'gateway.metricsPort', 'audit.metricsPort', 'tokenizer.metricsPort', 'inferenceWorker.metricsPort']
  const settings = JSON.stringify({ ...Object.fromEntries(ports.map((path) => [path, 0])), ...overrides })
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_'))
  const own = { TEST_JOURNAL: journal, INTRAMUROS_HOME: home, INTRAMUROS_CONFIG: join(home, '..', 'settings.yaml') }
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, join(home, '..', 'services'), settings], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(inherited), ...own, ...env },
  })
  started.push(child)
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = once(child, 'close').then(([status]: (number | null)[]) => ({ status: status ?? null, stderr }))
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      if (stdout.includes('Stop with Ctrl-C.')) resolve(stdout)
    })
    child.once('close', () => reject(new Error(`it ended before it was ready:\n${stderr}`)))
  })
  ready.catch(() => undefined)
  return { process: child, ready, ended }
}

function noted(): string[] {
  return readFileSync(journal, 'utf8').trim().split('\n')
}

function childPids(): number[] {
  return (readPlatformFile(home)?.children ?? []).map(({ pid }) => pid)
}

async function gone(pids: number[]): Promise<void> {
  await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([])
}

it('starts the services with one worker a model, tells how to use them, and drains in order', async () => {
  const launcher = launch({}, { drainSeconds: '7' })
  const text = await launcher.ready
  expect(text).toMatch(/API key {9}sk-im-/)
  expect(text).toMatch(/--cacert '.*a home\/tls\/ca\.crt'/)
  const platform = readPlatformFile(home)
  expect(platform?.pid).toBe(launcher.process.pid)
  expect(platform?.children.map(({ name }) => name)).toEqual(['audit', 'tokenizer', 'inference-worker', 'inference-worker-2', 'gateway'])
  const wired = new Map(noted().map((line) => [line.slice(0, line.indexOf(' ')), JSON.parse(line.slice(line.indexOf('['))) as string[]]))
  const ports = new Map(platform?.children.map((child) => [child.name, child.ports]))
  const addresses = ['inference-worker', 'inference-worker-2'].map((name) => `127.0.0.1:${ports.get(name)?.['grpc']}`)
  expect(wired.get('gateway')).toMatchObject({ 3: String(ports.get('gateway')?.['https']), 4: addresses.join(','), 5: '7', 6: home })
  expect(text).toContain(`https://localhost:${ports.get('gateway')?.['https']}`)

  launcher.process.kill('SIGINT')
  expect((await launcher.ended).status).toBe(0)
  const drains = noted().filter((line) => line.includes('drain'))
  expect(drains[0]).toBe('gateway drain 7000')
  expect(drains.slice(1, 4).toSorted()).toEqual(['inference-worker drain 5000', 'inference-worker drain 5000', 'tokenizer drain 5000'])
  expect(drains[4]).toBe('audit drain 5000')
  expect(readPlatformFile(home)).toBeUndefined()
})

it('keeps the state folder to its owner', async () => {
  const launcher = launch()
  await launcher.ready
  for (const folder of ['', 'run', 'tls', 'cache']) expect([folder, (statSync(join(home, folder)).mode & 0o777).toString(8)]).toEqual([folder, '700'])
  for (const file of ['run/platform.json', 'run/lock.sqlite', 'directory.sqlite', 'tls/ca.key']) {
    expect([file, (statSync(join(home, file)).mode & 0o077).toString(8)]).toEqual([file, '0'])
  }
})

it('shows the key only once, and makes a configuration file only where none was named', async () => {
  const first = launch()
  await first.ready
  first.process.kill('SIGTERM')
  expect((await first.ended).status).toBe(0)
  expect(existsSync(join(home, 'intramuros.yaml'))).toBe(false)
  const second = launch()
  const text = await second.ready
  expect(text).not.toContain('sk-im-')
  expect(text).toContain('npx intramuros keys create --team default')
  second.process.kill('SIGHUP')
  expect((await second.ended).status).toBe(0)
})

it('starts once on a state folder, and says who is there', async () => {
  const launcher = launch()
  const text = await launcher.ready
  const { status, stderr } = await launch().ended
  expect(status).toBe(1)
  expect(stderr).toContain(`Intramuros is already running as process ${launcher.process.pid} since `)
  expect(stderr).toContain(/https:\/\/\S+/.exec(text)?.[0])
  expect(childPids().every(isAlive)).toBe(true)
})

it('takes over from a launcher that was killed', async () => {
  const killed = launch()
  await killed.ready
  const left = childPids()
  killed.process.kill('SIGKILL')
  const launcher = launch()
  await launcher.ready
  await gone(left)
  expect(childPids()).toHaveLength(5)
})

it('starts a service that was killed again, where it was', async () => {
  const launcher = launch()
  await launcher.ready
  const before = noted().find((line) => line.startsWith('audit '))
  const pid = childPids()[0]
  process.kill(pid ?? 0, 'SIGKILL')
  await expect.poll(() => noted().filter((line) => line === before).length, { timeout: 10_000 }).toBe(2)
  await expect.poll(() => childPids()[0], { timeout: 10_000 }).not.toBe(pid)
})

it('takes echoes of a signal for one, and ends everything at once on a second one', async () => {
  const launcher = launch({ TEST_BEHAVIOUR: 'gateway deaf' })
  await launcher.ready
  const left = childPids()
  launcher.process.kill('SIGINT')
  launcher.process.kill('SIGINT')
  await expect.poll(noted, { timeout: 10_000 }).toContain('gateway drain 20000')
  // What makes a second key press is that time has passed.
  await new Promise((resolve) => setTimeout(resolve, 350))
  expect(launcher.process.exitCode).toBeNull()
  launcher.process.kill('SIGINT')
  expect((await launcher.ended).status).toBe(130)
  await gone(left)
})

it('tells what keeps a service from starting, and ends the others', async () => {
  const { status, stderr } = await launch({ TEST_BEHAVIOUR: 'tokenizer fatal' }).ended
  expect(status).toBe(1)
  expect(stderr).toContain('tokenizer could not start. The model is broken.')
  expect(readPlatformFile(home)).toBeUndefined()
})

it('says that gateways have to ask for teams and keys that are in a database', async () => {
  const { stderr } = await launch({ INTRAMUROS_AUDIT_DIRECTORY: 'true', INTRAMUROS_AUDIT_POSTGRES_URL: 'postgres://somebody@127.0.0.1:1/nothing' }).ended
  expect(stderr).toContain('set gateway.directory to audit')
  expect(existsSync(journal)).toBe(false)
})

it('names the setting of a port that was asked for and is taken', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  try {
    const { port } = other.address() as AddressInfo
    const { status, stderr } = await launch({}, { 'gateway.port': port }).ended
    expect(status).toBe(1)
    expect(stderr).toContain(`Port ${port} of 127.0.0.1 is used by another program: end that one, or set gateway.port`)
  } finally {
    other.close()
  }
})
