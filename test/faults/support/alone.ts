import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureCertificates } from '../../../deploy/local/certificates.ts'
import { until } from '../../support/platform.ts'

const root = join(import.meta.dirname, '../../..')

/** A state folder whose only model is the given file, for one service that runs by itself, as in a container. */
export interface State {
  home: string
  /** Starts a service. The launcher is not there: no channel to it, its log and errors are what a container's log holds. */
  run(service: 'inference-worker' | 'tokenizer', options?: RunOptions): Alone
  remove(): Promise<void>
}

export interface RunOptions {
  env?: Record<string, string>
  /** What stands before node on the command line, for example `prlimit --as=…`. */
  prefix?: string[]
}

export interface Alone {
  process: ChildProcess
  /** Everything that it wrote. */
  output(): string
  /** Resolves when /readyz says so; rejects when it ends before. */
  ready(): Promise<void>
  /** Its exit status, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>
  /** By name: grpc and metrics, once it listens. */
  ports(): Record<string, number>
  kill(): Promise<void>
}

export async function stateWith(modelPath: string): Promise<State> {
  const home = await mkdtemp(join(tmpdir(), 'intramuros-alone-'))
  await ensureCertificates({ folder: join(home, 'tls'), now: () => new Date(), httpsNames: [] })
  await writeFile(join(home, 'intramuros.yaml'), JSON.stringify(configurationOf(modelPath)))
  const running: Alone[] = []

  function run(service: 'inference-worker' | 'tokenizer', { env = {}, prefix = [] }: RunOptions = {}): Alone {
    const [command, ...args] = [...prefix, process.execPath, `services/${service}/main.ts`]
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment(home), ...env } })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status, signal) => resolve(signal ?? status ?? -1))
    })
    const alone: Alone = {
      process: child,
      output: () => output,
      ended,
      ports: () => listeningPorts(output),
      async ready() {
        const readyz = async (): Promise<boolean> => {
          if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${service} ended:\n${output}`)
          const port = listeningPorts(output)['metrics']
          return port !== undefined && (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200
        }
        await until(readyz, `${service} to be ready`, 60_000)
      },
      async kill() {
        child.kill('SIGKILL')
        await ended
      },
    }
    running.push(alone)
    return alone
  }

  return {
    home,
    run,
    async remove() {
      await Promise.all(running.map((alone) => alone.kill()))
      await rm(home, { recursive: true, force: true })
    },
  }
}

/** The configuration of a platform that serves one file. */
export function configurationOf(path: string): object {
  const openness = { weights: true, code: true, data: true, paper: true }
  const entry = { id: 'tested', file: 'model.gguf', licence: 'Apache-2.0', contextLength: 8192, openness, from: { path } }
  return { models: [entry], serve: [entry.id] }
}

/** The caller's environment without its settings of an Intramuros of its own; any free ports, one thread. */
export function environment(home: string): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(INTRAMUROS_|OTEL_|NODE_OPTIONS$)/.test(name))
  return {
    ...Object.fromEntries(inherited),
    INTRAMUROS_HOME: home,
    INTRAMUROS_GATEWAY_PORT: '0',
    INTRAMUROS_GATEWAY_METRICS_PORT: '0',
    INTRAMUROS_AUDIT_LISTEN: '127.0.0.1:0',
    INTRAMUROS_AUDIT_METRICS_PORT: '0',
    INTRAMUROS_TOKENIZER_LISTEN: '127.0.0.1:0',
    INTRAMUROS_TOKENIZER_METRICS_PORT: '0',
    INTRAMUROS_INFERENCE_WORKER_LISTEN: '127.0.0.1:0',
    INTRAMUROS_INFERENCE_WORKER_METRICS_PORT: '0',
    INTRAMUROS_INFERENCE_WORKER_THREADS: '1',
    INTRAMUROS_INFERENCE_WORKER_GPU: 'off',
  }
}

function listeningPorts(output: string): Record<string, number> {
  const line = output.split('\n').find((candidate) => candidate.includes('"msg":"listening"'))
  return line === undefined ? {} : (JSON.parse(line) as { ports: Record<string, number> }).ports
}
