import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import fetchTestModel from '../support/fetch-model.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import type { LoadPlan, LoadResult } from './load.ts'

/**
 * What gateway, tokenizer and audit add in front of a worker with a scripted engine: time to first byte, CPU per request and CPU per
 * streamed token, with TLS, mTLS, durable audit, metrics and logs on, beside a bare node:https server in the same run.
 *
 *   npm run bench                 the whole table (about two minutes)
 *   npm run bench -- --quick      a short one, to see that it runs
 */
const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const tokens = 64
const levels = values.quick ? [1, 16] : [1, 16, 64, 256]
const roles = ['gateway', 'tokenizer', 'worker-0', 'audit'] as const
type Cpu = Record<(typeof roles)[number], number>

await fetchTestModel()
const platform = await startPlatform({
  workers: [{ tokens: 1 + tokens, slots: 256 }],
  env: { INTRAMUROS_GATEWAY_MAX_CONCURRENT: '512', INTRAMUROS_INFERENCE_WORKER_SLOTS: '256', INTRAMUROS_LOG_LEVEL: 'info' },
})
const load = fork(join(import.meta.dirname, 'load.ts'))
const bare = fork(join(import.meta.dirname, 'bare-server.ts'), [join(platform.home, 'tls/https.pem')])
try {
  const [{ port }] = (await once(bare, 'message')) as [{ port: number }]
  const bareUrl = `https://localhost:${port}`
  print(`${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}; requests: a streamed answer of 1 token; tokens: what ${tokens} more cost`)
  print('')
  print('              |  time to first byte, ms (p50 / p99)  |            CPU, µs per request               |  CPU, µs per streamed token')
  print('  concurrency |  intramuros      bare        added  |  gateway tokenizer worker audit  sum   bare  |  gateway   all   bare   gateway÷bare')
  // The first thousands of requests run code that is not compiled yet.
  await measure(platform.url, 16, values.quick ? 200 : 5000, 8)
  await measureBare(bareUrl, 16, values.quick ? 200 : 5000, 8)
  for (const concurrency of levels) {
    const requests = values.quick ? 64 * Math.max(1, concurrency / 8) : Math.max(1500, concurrency * 24)
    await measure(platform.url, concurrency, Math.max(200, concurrency * 4), tokens) // warm up
    await measureBare(bareUrl, concurrency, Math.max(200, concurrency * 4), tokens)
    const short = await measure(platform.url, concurrency, requests, 1)
    const long = await measure(platform.url, concurrency, requests, 1 + tokens)
    const bareShort = await measureBare(bareUrl, concurrency, requests, 1)
    const bareLong = await measureBare(bareUrl, concurrency, requests, 1 + tokens)
    const perToken = (role: keyof Cpu): number => (long.cpu[role] - short.cpu[role]) / tokens
    const sum = roles.reduce((total, role) => total + short.cpu[role], 0)
    const bareToken = (bareLong.cpu - bareShort.cpu) / tokens
    const gatewayToken = perToken('gateway')
    print(
      [
        `  ${String(concurrency).padStart(11)} |`,
        `${times(short.result)} ${times(bareShort.result)} ${(percentile(short.result, 0.5) - percentile(bareShort.result, 0.5)).toFixed(2).padStart(8)}  |`,
        roles.map((role) => short.cpu[role].toFixed(0).padStart(8)).join(' '),
        sum.toFixed(0).padStart(6),
        bareShort.cpu.toFixed(0).padStart(6),
        ' |',
        gatewayToken.toFixed(1).padStart(8),
        roles.reduce((total, role) => total + perToken(role), 0).toFixed(1).padStart(6),
        bareToken.toFixed(1).padStart(6),
        (gatewayToken / bareToken).toFixed(2).padStart(10),
      ].join(' '),
    )
  }
} finally {
  load.kill()
  bare.kill()
  await platform.stop()
}

async function measure(url: string, concurrency: number, requests: number, answerTokens: number): Promise<{ result: LoadResult; cpu: Cpu }> {
  const before = await cpuOf(platform)
  const result = await send({ url, ca: platform.ca, key: platform.key, model: platform.model, concurrency, requests, tokens: answerTokens })
  const after = await cpuOf(platform)
  if (result.errors > 0) throw new Error(`${result.errors} of ${requests} requests failed`)
  const cpu = Object.fromEntries(roles.map((role) => [role, (after[role] - before[role]) / requests])) as Cpu
  return { result, cpu }
}

async function measureBare(url: string, concurrency: number, requests: number, answerTokens: number): Promise<{ result: LoadResult; cpu: number }> {
  const before = await bareCpu(bare)
  const result = await send({ url, ca: platform.ca, key: platform.key, model: platform.model, concurrency, requests, tokens: answerTokens })
  return { result, cpu: ((await bareCpu(bare)) - before) / requests }
}

async function send(plan: LoadPlan): Promise<LoadResult> {
  load.send(plan)
  const [result] = (await once(load, 'message')) as [LoadResult]
  return result
}

/** Microseconds of CPU that each service has used, from its own metrics. The scrape itself is in it: some milliseconds, once. */
async function cpuOf(of: Platform): Promise<Cpu> {
  const used: Cpu = { gateway: 0, tokenizer: 0, 'worker-0': 0, audit: 0 }
  for (const role of roles) {
    const text = await (await fetch(`${of.monitor(role)}/metrics`)).text()
    used[role] = 1e6 * Number(/^process_cpu_seconds_total\S* (\S+)/m.exec(text)?.[1] ?? Number.NaN)
  }
  return used
}

async function bareCpu(child: ChildProcess): Promise<number> {
  child.send('cpu')
  const [{ microseconds }] = (await once(child, 'message')) as [{ microseconds: number }]
  return microseconds
}

function percentile({ firstByteMs }: LoadResult, share: number): number {
  const sorted = firstByteMs.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function times(result: LoadResult): string {
  return `${percentile(result, 0.5).toFixed(2)} / ${percentile(result, 0.99).toFixed(2)}`.padStart(14)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
