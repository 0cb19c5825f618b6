import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Children, startChildren } from './children.ts'
import { backOff, type SuperviseTiming } from './supervise.ts'

/** What a service does as far as its launcher sees, by the first argument; it notes what happens to it in a file. */
const service = `
import { appendFileSync } from 'node:fs'
const [name, behaviour, journal] = process.argv.slice(2)
const note = (what) => appendFileSync(journal, name + ' ' + what + '\\n')
note('started')
if (behaviour === 'dies at start') process.exit(70)
if (behaviour === 'port taken') process.exit(69)
if (behaviour === 'no memory') process.send({ type: 'fatal', message: 'Not enough for 9 slots.' }, () => process.exit(71))
else if (behaviour === 'crashes loading') process.send({ type: 'atRisk', what: 'It died while loading x.gguf.' }, () => process.abort())
else if (behaviour === 'fatal') process.send({ type: 'fatal', message: 'The model is broken.' }, () => process.exit(78))
else if (behaviour === 'never ready') setInterval(() => {}, 1000)
else {
  process.on('message', ({ type, limitMs }) => {
    note(type + ' ' + limitMs)
    if (type === 'die') process.exit(70)
    if (type === 'hang') for (;;);
    if (behaviour === 'deaf') return
    setTimeout(() => { note('ended'); process.exit(0) }, 50)
  })
  process.on('disconnect', () => process.exit(1))
  process.send({ type: 'gibberish', ports: 3 })
  process.send({ type: 'listening', ports: { grpc: 1 } })
  if (behaviour === 'beats') {
    process.send({ type: 'alive' })
    setInterval(() => process.send({ type: 'alive' }), 50)
  }
  process.send({ type: 'ready' })
}
`
const timing: SuperviseTiming = { firstDelayMs: 20, maxDelayMs: 200, resetAfterMs: 30_000, portTries: 2, loadTries: 2, killMarginMs: 200, hangAfterMs: 400 }
const never = new AbortController().signal

let folder: string
let journal: string
let children: Children | undefined
let logged: string[]
let processes: Map<string, ChildProcess[]>
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-children-'))
  journal = join(folder, 'journal')
  writeFileSync(join(folder, 'service.mjs'), service)
  writeFileSync(journal, '')
  logged = []
  processes = new Map()
})
afterEach(async () => {
  await children?.kill()
  rmSync(folder, { recursive: true })
})

function begin(behaviours: Record<string, string>, ports: Record<string, number> = {}): Children {
  const specs = Object.entries(behaviours).map(([name, behaviour]) => ({
    name,
    args: [join(folder, 'service.mjs'), name, behaviour, journal],
    env: process.env,
    binds: name in ports ? [{ setting: `${name}.port`, host: '127.0.0.1', port: ports[name] ?? 0 }] : [],
  }))
  children = startChildren(specs, {
    log: pino({}, { write: (line: string) => logged.push(line) }),
    timing,
    attach: (name, child) => processes.set(name, [...(processes.get(name) ?? []), child]),
    onChange: () => undefined,
  })
  return children
}

function noted(): string[] {
  return readFileSync(journal, 'utf8').trim().split('\n')
}

function latest(name: string): ChildProcess {
  const child = processes.get(name)?.at(-1)
  if (child === undefined) throw new Error(`${name} does not run`)
  return child
}

/** Waits for the next process under that name to say that it is ready. */
async function restarted(name: string): Promise<ChildProcess> {
  const before = processes.get(name)?.length ?? 0
  await expect.poll(() => processes.get(name)?.length, { timeout: 10_000 }).toBeGreaterThan(before)
  const child = latest(name)
  await expect.poll(() => noted().filter((line) => line === `${name} started`).length, { timeout: 10_000 }).toBeGreaterThan(before)
  return child
}

it('one whose heart stops is killed and started again', async () => {
  const running = begin({ tokenizer: 'beats', audit: '' })
  await running.ready(20_000, never)
  const again = restarted('tokenizer')
  latest('tokenizer').send({ type: 'hang' })
  await again
  expect(logged.join('')).toContain('a service hangs and is killed')
  expect(processes.get('audit')).toHaveLength(1)
})

it('is ready when all are, and drains group by group with each one\'s limit', async () => {
  const running = begin({ audit: '', tokenizer: '', gateway: '' })
  await running.ready(20_000, never)
  const clean = await running.drain([
    { match: (name) => name === 'gateway', limitMs: 3000 },
    { match: (name) => name === 'tokenizer', limitMs: 2000 },
    { match: (name) => name === 'audit', limitMs: 1000 },
  ])
  expect(clean).toBe(true)
  const drains = noted().filter((line) => !line.endsWith('started'))
  expect(drains).toEqual([
    'gateway drain 3000',
    'gateway ended',
    'tokenizer drain 2000',
    'tokenizer ended',
    'audit drain 1000',
    'audit ended',
  ])
})

it('starts a killed one again and leaves the others alone', async () => {
  const running = begin({ audit: '', gateway: '' })
  await running.ready(20_000, never)
  for (const round of [1, 2]) {
    const next = restarted('audit')
    latest('audit').kill('SIGKILL')
    await next
    expect(processes.get('audit')).toHaveLength(round + 1)
  }
  expect(processes.get('gateway')).toHaveLength(1)
})

it('tells a fatal error in the service\'s words and does not try again', async () => {
  const running = begin({ audit: 'fatal', gateway: '' })
  await expect(running.ready(20_000, never)).rejects.toThrow('audit could not start. The model is broken.')
  await running.kill()
  expect(noted().filter((line) => line === 'audit started')).toHaveLength(1)
})

it('gives up on one that has not enough memory at start, with its status', async () => {
  const running = begin({ worker: 'no memory' })
  await expect(running.ready(20_000, never)).rejects.toMatchObject({ status: 71, message: 'worker could not start. Not enough for 9 slots. (status 71, not enough memory)' })
  expect(noted().filter((line) => line === 'worker started')).toHaveLength(1)
})

it('tries again on one that has not enough memory after it once had', async () => {
  const running = begin({ worker: '' })
  await running.ready(20_000, never)
  writeFileSync(join(folder, 'service.mjs'), `${service}\nprocess.exit(71)`)
  latest('worker').kill('SIGKILL')
  await expect.poll(() => processes.get('worker')?.length, { timeout: 10_000 }).toBeGreaterThan(3)
  expect(logged.join('')).toContain('status 71, not enough memory')
  expect(logged.join('')).not.toContain('given up')
})

it('gives up on one that crashes twice while it loads, with what it was doing', async () => {
  const running = begin({ worker: 'crashes loading' })
  await expect(running.ready(20_000, never)).rejects.toThrow('worker could not start. It died while loading x.gguf. (signal SIGABRT, native code crashed)')
  expect(noted().filter((line) => line === 'worker started')).toHaveLength(2)
})

it('gives its services no room for core files', async () => {
  const running = begin({ worker: '' })
  await running.ready(20_000, never)
  writeFileSync(join(folder, 'service.mjs'), `import { execSync } from 'node:child_process'
    process.send({ type: 'atRisk', what: 'limits ' + execSync('ulimit -Sc; ulimit -Hc').toString().split('\\n').join(' ') }, () => process.exit(70))`)
  latest('worker').kill('SIGKILL')
  await expect.poll(() => logged.join(''), { timeout: 10_000 }).toContain('limits 0 0 ')
})

it('keeps the others running when one fails for good later', async () => {
  const running = begin({ audit: '', gateway: '' })
  await running.ready(20_000, never)
  writeFileSync(join(folder, 'service.mjs'), 'process.exit(78)')
  latest('audit').kill('SIGKILL')
  await expect.poll(() => logged.join(''), { timeout: 10_000 }).toContain('a service is given up; the others keep running')
  expect(latest('gateway').exitCode).toBeNull()
  expect(processes.get('audit')).toHaveLength(2)
})

it('gives up at start on one that keeps dying', async () => {
  await expect(begin({ audit: 'dies at start' }).ready(20_000, never)).rejects.toThrow(/audit died 5 times while starting, last with status 70/)
})

it('names the setting of a port that another program keeps', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  try {
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    await expect(begin({ audit: 'port taken' }, { audit: port }).ready(20_000, never)).rejects.toThrow(/set audit\.port to another/)
    expect(processes.get('audit')).toHaveLength(2)
  } finally {
    other.close()
  }
})

it('names those that did not become ready in time', async () => {
  const running = begin({ audit: '', gateway: 'never ready' })
  await expect(running.ready(1500, never)).rejects.toThrow(/^gateway did not become ready within 2 s/)
})

it('kills one that does not drain', async () => {
  const running = begin({ audit: 'deaf' })
  await running.ready(20_000, never)
  expect(await running.drain([{ match: () => true, limitMs: 100 }])).toBe(false)
  expect(latest('audit').signalCode).toBe('SIGKILL')
})

it('ends one that is still starting without waiting for it', async () => {
  const running = begin({ audit: 'never ready' })
  await expect.poll(noted).toContain('audit started')
  expect(await running.drain([{ match: () => true, limitMs: 60_000 }])).toBe(true)
  expect(latest('audit').signalCode).toBe('SIGTERM')
})

it('does not restart what it kills', async () => {
  const running = begin({ audit: '' })
  await running.ready(20_000, never)
  await running.kill()
  expect(latest('audit').signalCode).toBe('SIGKILL')
  expect(processes.get('audit')).toHaveLength(1)
})

it('backs off exponentially up to a limit', () => {
  for (let deaths = 0; deaths < 40; deaths += 1) {
    const full = Math.min(10_000, 200 * 2 ** deaths)
    const delay = backOff(deaths, { firstDelayMs: 200, maxDelayMs: 10_000 })
    expect(delay).toBeGreaterThanOrEqual(Math.floor(full * 0.75))
    expect(delay).toBeLessThanOrEqual(full)
  }
})
