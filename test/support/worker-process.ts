import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { ensureCertificates } from '../../deploy/local/certificates.ts'
import { type CallOptions, connectLane, type LaneClient } from '../../services/shared/rpc/lane-client.ts'
import { createCallObserver } from '../../services/shared/rpc/observe.ts'
import type { FromService } from '../../services/shared/supervision.ts'
import { noTelemetry } from '../../services/shared/telemetry.ts'
import { watchIdentity } from '../../services/shared/tls/identity.ts'
import { generateRequest } from './generate-request.ts'
import { silent } from './identities.ts'
import { until } from './platform.ts'

const root = join(import.meta.dirname, '../..')
const model = 'tested'

/** A real inference worker, alone in its process, over any GGUF file. */
export interface WorkerProcess {
  pid: number
  /** Lets it continue prompts of so many tokens, all at once; for a model that embeds, one after the other. */
  work(prompts: number, tokens: number): Promise<void>
  /** Resolves with nothing; removes what it left. */
  stop(): Promise<void>
}

/** How a worker ended that did not come to listen. */
export interface Failure {
  status: number | null
  /** What it told its launcher, and all that it wrote. */
  told: string
  output: string
}

/** Starts it with settings of `inferenceWorker` as environment variables. Resolves when it is ready, or has ended. */
export async function startWorkerProcess(path: string, settings: Readonly<Record<string, string>>, limitMs = 60_000): Promise<WorkerProcess | Failure> {
  const home = await mkdtemp(join(tmpdir(), 'intramuros-worker-'))
  await ensureCertificates({ folder: join(home, 'tls'), now: () => new Date(), httpsNames: [] })
  const openness = { weights: true, code: false, data: false, paper: false }
  const entry = { id: model, file: 'model.gguf', licence: 'LicenseRef-test', contextLength: 8192, openness, from: { path } }
  await writeFile(join(home, 'intramuros.yaml'), JSON.stringify({ models: [entry], serve: [model] }))
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_') && !name.startsWith('OTEL_'))
  const own = { INTRAMUROS_HOME: home, INTRAMUROS_INFERENCE_WORKER_METRICS_PORT: '0', INTRAMUROS_INFERENCE_WORKER_GPU: 'off', INTRAMUROS_INFERENCE_WORKER_THREADS: '1' }
  const child = spawn(process.execPath, ['services/inference-worker/main.ts'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...Object.fromEntries(inherited), ...own, ...settings },
  })
  let output = ''
  let told = ''
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exited = once(child, 'exit') as Promise<[number | null]>
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
    await rm(home, { recursive: true, force: true })
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  let listening: Record<string, number> | undefined
  const ports = await new Promise<Record<string, number> | undefined>((resolve) => {
    child.on('message', (message: FromService) => {
      if (message.type === 'listening') listening = message.ports
      if (message.type === 'ready') resolve(listening)
      if (message.type === 'fatal') told = message.message
    })
    child.once('exit', () => resolve(undefined))
  })
  clearTimeout(timer)
  if (ports === undefined || child.pid === undefined) {
    const [status] = await exited
    await end()
    return { status, told, output }
  }
  const identity = await watchIdentity({ file: join(home, 'tls/gateway.pem'), caFile: join(home, 'tls/ca.crt'), log: silent })
  const observer = createCallObserver('client', new Registry(), noTelemetry)
  const lane = connectLane({ service: InferenceService, peer: 'inference-worker', address: `127.0.0.1:${ports['grpc']}`, identity, observer, log: silent })
  await until(() => lane.up, 'the lane to the worker')
  return {
    pid: child.pid,
    work: (prompts, tokens) => work(lane, prompts, tokens),
    async stop() {
      lane.close()
      identity.close()
      await end()
    },
  }
}

async function work(lane: LaneClient, prompts: number, tokens: number): Promise<void> {
  const call: CallOptions = { requestId: 'r', signal: AbortSignal.timeout(120_000) }
  const ids = Array.from({ length: tokens }, (_, index) => 1000 + (index % 500))
  const generate = async (): Promise<void> => {
    for await (const _ of lane.stream(InferenceService.generate, generateRequest({ model, tokens: ids, maxTokens: 4 }), call)) continue
  }
  try {
    await Promise.all(Array.from({ length: prompts }, generate))
  } catch (thrown) {
    if (!(thrown instanceof Error && /embed/.test(thrown.message))) throw thrown
    await lane.unary(InferenceService.embed, { model, team: 'default', weight: 0, batch: false, inputs: Array.from({ length: prompts }, () => ({ tokens: ids })) }, call)
  }
}

/** Bytes of a process that are in memory, those that it shares with others too. Linux only. */
export async function residentMemory(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(/^Rss:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024
}
