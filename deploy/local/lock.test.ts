import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { lockHome } from './lock.ts'
import { writePlatformFile } from './platform-file.ts'

let home: string
let holder: ChildProcess | undefined
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'intramuros-lock-'))
})
afterEach(async () => {
  await end()
  rmSync(home, { recursive: true })
})

async function end(): Promise<void> {
  if (holder === undefined) return
  const exit = once(holder, 'exit')
  holder.kill('SIGKILL')
  await exit
  holder = undefined
}

/** Another process that takes the lock and keeps it. */
async function hold(): Promise<void> {
  const script = `import { lockHome } from ${JSON.stringify(join(import.meta.dirname, 'lock.ts'))}
    lockHome(process.argv[1]); process.stdout.write('locked'); setInterval(() => {}, 1000)`
  holder = spawn(process.execPath, ['--input-type=module', '-e', script, home], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout ?? holder, 'data')
}

it('is refused while another process holds it, naming that process and what to do', async () => {
  await hold()
  expect(() => lockHome(home)).toThrow(/Another process is starting/)
  const startedAt = '2026-01-02T03:04:05.000Z'
  const address = 'https://localhost:8443'
  writePlatformFile(home, {
    pid: process.pid,
    token: '0123456789abcdef',
    startedAt,
    version: '0',
    address,
    caFile: '',
    metricsHost: '127.0.0.1',
    children: [],
  })
  expect(() => lockHome(home)).toThrow(
    `Intramuros is already running as process ${process.pid} since ${startedAt} on the state folder ${home} (${address}): ` +
      `stop it with Ctrl-C there or \`kill ${process.pid}\`, or use another state folder with INTRAMUROS_HOME (or --home).`,
  )
})

it('goes with the process that held it, however that ends', async () => {
  await hold()
  await end()
  lockHome(home).release()
})

it('can be taken again once released', () => {
  const lock = lockHome(home)
  expect(() => lockHome(home)).toThrow(/Another process is starting/)
  lock.release()
  lockHome(home).release()
})
