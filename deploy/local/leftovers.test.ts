import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { waitForLeftovers } from './leftovers.ts'
import { readPlatformFile, writePlatformFile } from './platform-file.ts'

const log = pino({ level: 'silent' })
const token = 'platform-0123456789abcdef'
let home: string
let child: ChildProcess | undefined
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'intramuros-leftovers-'))
})
afterEach(() => {
  child?.kill('SIGKILL')
  rmSync(home, { recursive: true })
})

/** A process that stays until it is killed, recorded as a child of a former launcher. */
async function leave(...args: string[]): Promise<ChildProcess> {
  child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout ?? child, 'data')
  const children = [{ name: 'audit', pid: child.pid ?? 0, ports: {} }]
  writePlatformFile(home, { pid: 1, token, startedAt: '', version: '', address: '', caFile: '', metricsHost: '', children })
  return child
}

it('waits for a child that ends by itself', async () => {
  const left = await leave(token)
  const exit = once(left, 'exit')
  let done = false
  const waiting = waitForLeftovers(home, log, { patienceMs: 20_000, killMs: 1 }).then(() => (done = true))
  expect(done).toBe(false)
  left.kill('SIGTERM')
  expect(await exit).toEqual([null, 'SIGTERM'])
  await waiting
  expect(readPlatformFile(home)).toBeUndefined()
})

it('kills one that stays', async () => {
  const exit = once(await leave(token), 'exit')
  await waitForLeftovers(home, log, { patienceMs: 50, killMs: 5000 })
  expect(await exit).toEqual([null, 'SIGKILL'])
})

it('leaves a stranger alone that got the process id', async () => {
  const stranger = await leave('another-program')
  await waitForLeftovers(home, log, { patienceMs: 10_000, killMs: 5000 })
  expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
})
