import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureCertificates } from '../../deploy/local/certificates.ts'
import type { FromService } from '../../services/shared/supervision.ts'
import { until } from './platform.ts'

export interface WorkerProcessOptions {
  /** Path of a GGUF. */
  model: string
  slots: number
  contextLength: number
  /** Further settings, as environment variables. */
  env?: Record<string, string>
  /** Program and arguments that start it in their own process. */
  under?: readonly string[]
  /** Arguments for Node.js. */
  nodeArgs?: readonly string[]
}

/** An inference worker as it runs in production, in a process of its own: main.ts, one thread, mTLS, no GPU. */
export interface WorkerProcess {
  pid: number
  /** "host:port" of its lane. */
  address: string
  /** Folder of the certificates, the gateway's among them. */
  tls: string
  /** Id of the model that it serves. */
  model: string
  /** Its /metrics, whole. */
  metrics(): Promise<string>
  /** What it wrote. */
  output(): string
  /** Undefined while it runs. */
  exitCode(): number | string | undefined
  close(): Promise<void>
}

const root = join(import.meta.dirname, '../..')
const id = 'bench'

export async function startWorkerProcess({ model, slots, contextLength, env = {}, under = [], nodeArgs = [] }: WorkerProcessOptions): Promise<WorkerProcess> {
  const home = await mkdtemp(join(tmpdir(), 'intramuros-worker-'))
  const tls = join(home, 'tls')
  await ensureCertificates({ folder: tls, now: () => new Date(), httpsNames: [] })
  const entry = { id, file: 'model.gguf', contextLength, licence: 'Apache-2.0', openness: { weights: true, code: true, data: true, paper: true }, from: { path: model } }
  await writeFile(join(home, 'intramuros.yaml'), JSON.stringify({ models: [entry], serve: [id] }))
  const settings = {
    INTRAMUROS_HOME: home,
    INTRAMUROS_INFERENCE_WORKER_LISTEN: '127.0.0.1:0',
    INTRAMUROS_INFERENCE_WORKER_METRICS_PORT: '0',
    INTRAMUROS_INFERENCE_WORKER_MODEL: id,
    INTRAMUROS_INFERENCE_WORKER_SLOTS: String(slots),
    INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: String(contextLength),
    INTRAMUROS_INFERENCE_WORKER_THREADS: '1',
    INTRAMUROS_INFERENCE_WORKER_GPU: 'off',
  }
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_') && !name.startsWith('OTEL_'))
  const [program, ...args] = [...under, process.execPath, ...nodeArgs, 'services/inference-worker/main.ts']
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...Object.fromEntries(inherited), ...settings, ...env } })
  let output = ''
  const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-100_000))
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  const close = async (): Promise<void> => {
    await end(child)
    await rm(home, { recursive: true, force: true })
  }
  try {
    const ports = await new Promise<Record<string, number>>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => reject(new Error(`the worker ended with ${code ?? signal} before it listened:\n${output}`)))
      child.on('message', (message: FromService) => message.type === 'listening' && resolve(message.ports))
    })
    const monitor = `http://127.0.0.1:${ports['metrics']}`
    await until(async () => (await fetch(`${monitor}/readyz`).catch(() => undefined))?.status === 200, 'the worker to be ready', 60_000)
    return {
      pid: child.pid ?? 0,
      address: `127.0.0.1:${ports['grpc']}`,
      tls,
      model: id,
      metrics: async () => await (await fetch(`${monitor}/metrics`)).text(),
      output: () => output,
      exitCode: () => child.exitCode ?? child.signalCode ?? undefined,
      close,
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

/** Asks it to end, so that profiles are written; kills it when it does not. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.send({ type: 'drain', limitMs: 1000 })
  const limit = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(limit)
}
