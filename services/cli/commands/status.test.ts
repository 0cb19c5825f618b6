import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type PlatformFile, writePlatformFile } from '../../../deploy/local/platform-file.ts'
import { registerStatus } from './status.ts'

let home: string
let monitor: Server
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'intramuros-status-'))
  monitor = createServer((_, response) => response.end('ready\n'))
  await new Promise<void>((resolve) => monitor.listen(0, '127.0.0.1', resolve))
})
afterEach(() => {
  monitor.close()
  process.exitCode = 0
  rmSync(home, { recursive: true })
})

async function status(facts: Pick<PlatformFile, 'children' | 'down'>, ...args: string[]): Promise<{ status: unknown; out: string }> {
  const address = { address: 'https://localhost:8443', caFile: '/ca.crt', metricsHost: '127.0.0.1' }
  writePlatformFile(home, { pid: process.pid, token: '0123456789abcdef', startedAt: '2026-01-01T00:00:00.000Z', version: '1.2.3', ...address, ...facts })
  const out = new PassThrough({ encoding: 'utf8' })
  const program = new Command()
  registerStatus(program, {
    home: () => home,
    directory: () => ({ home, place: undefined }),
    env: {},
    file: undefined,
    config: () => {
      throw new Error('not used here')
    },
    knownModels: () => [],
    auditFolder: () => '', auditKeyFile: () => '',
    out,
    err: out,
  })
  await program.parseAsync(['status', ...args], { from: 'user' })
  return { status: process.exitCode, out: String(out.read()) }
}

function child(name: string, more: object = {}): PlatformFile['children'][number] {
  return { name, pid: process.pid, ports: { metrics: (monitor.address() as AddressInfo).port }, ...more }
}

const lastEnd = { how: 'signal SIGABRT, native code crashed', at: '2026-01-02T00:00:00.000Z' }

test('all ready is status 0, with what was started again', async () => {
  const { status: ended, out } = await status({ children: [child('audit'), child('gateway', { restarts: 2, lastEnd })] })
  expect(ended).toBe(0)
  expect(out).toMatch(/audit +ready/)
  expect(out).toMatch(/gateway +ready.*\n +restarts: 2, the last after signal SIGABRT, native code crashed, 2026-01-02/)
})

test('a service that has died is told, and is not ready', async () => {
  const down = [
    { name: 'inference-worker', givenUp: true, lastEnd: { how: 'x.gguf is cut short. (status 65)', at: lastEnd.at } },
    { name: 'tokenizer', givenUp: false, lastEnd },
  ]
  const { status: ended, out } = await status({ children: [child('audit')], down })
  expect(ended).toBe(1)
  expect(out).toMatch(/inference-worker +given up\n +ended after x\.gguf is cut short\. \(status 65\), 2026-01-02/)
  expect(out).toMatch(/tokenizer +restarting\n +ended after signal SIGABRT/)
  const told = JSON.parse((await status({ children: [child('audit')], down }, '--json')).out) as { ready: boolean; services: unknown[] }
  expect(told.ready).toBe(false)
  expect(told.services).toContainEqual({ name: 'inference-worker', state: 'given up', lastEnd: down[0]?.lastEnd })
})
