import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureCertificates } from '../../deploy/local/certificates.ts'
import { openDirectory } from '../../services/shared/directory/directory.ts'
import { exitStatus, type FromService } from '../../services/shared/supervision.ts'
import { freePort } from './free-port.ts'

const root = join(import.meta.dirname, '../..')
const model = 'smollm2-135m-instruct'
const embeddingModel = 'all-minilm-l6-v2'

export type Role = 'audit' | 'standby' | 'tokenizer' | 'gateway' | `worker-${number}` | 'worker-embedding'
const embeddingRole: Role = 'worker-embedding'

export interface PlatformOptions {
  /** Settings for every service, as environment variables. */
  env?: Record<string, string>
  /** The same for one service alone. */
  envOf?: Partial<Record<Role, Record<string, string>>>
  /** Sections of the configuration file, for what no variable can set. */
  sections?: Record<string, unknown>
  /** How the scripted workers behave, one entry a worker; see scripted-worker.ts. Default: one that answers eight tokens. */
  workers?: ScriptedBehaviour[]
  /** Workers are the real ones, with the real model. */
  realModel?: boolean
  /** Another file of the chat model, for its chat template. Default: the one that the tests have. */
  modelPath?: string
  /** Called with the state folder before anything is started. */
  prepare?: (home: string) => void | Promise<void>
  /** A second audit service, on the same log in PostgreSQL, which `env` names. Either is started again when it ends with status 75. */
  standby?: boolean
  /** An embedding model to serve too, by a real worker of its own. */
  embeddingModelPath?: string
}

export interface ScriptedBehaviour {
  tokens?: number
  delayMs?: number
  slots?: number
  /** The process kills itself after so many tokens. */
  dieAfter?: number
  /** What the model writes, special tokens spelt out. */
  text?: string
}

/** The four services as real processes over a state folder of their own, with scripted workers. */
export interface Platform {
  home: string
  url: string
  /** PEM of the CA. */
  ca: string
  /** An API key of the team "default". */
  key: string
  model: string
  /** Id of the embedding model, when one is served. */
  embeddingModel: string
  process(role: Role): ChildProcess
  ports(role: Role): Record<string, number>
  /** Address of /metrics and /readyz. */
  monitor(role: Role): string
  /** Everything that the services wrote to standard output and error. */
  output(): string
  /** Ends a process at once, as a crash does. */
  kill(role: Role): Promise<void>
  /** Starts a killed one again, on the ports that it had. */
  restart(role: Role): Promise<void>
  /** Waits until a service says that it is ready. */
  ready(role: Role): Promise<void>
  /** Drains one service; resolves with its exit status. */
  drain(role: Role, limitMs: number): Promise<number | null>
  stop(): Promise<void>
}

interface Running {
  child: ChildProcess
  ports: Record<string, number>
}

export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const home = await mkdtemp(join(tmpdir(), 'intramuros-test-'))
  await ensureCertificates({ folder: join(home, 'tls'), now: () => new Date(), httpsNames: [] })
  await writeFile(join(home, 'intramuros.yaml'), configurationOf(options))
  const directory = openDirectory({ home })
  directory.addTeam('default', [])
  const key = directory.createKey('default').secret
  directory.close()
  await options.prepare?.(home)

  const running = new Map<Role, Running>()
  const children: ChildProcess[] = []
  const behaviours = options.workers ?? [{}]
  const scripted = behaviours.map((_, index): Role => `worker-${index}`)
  const workers = options.embeddingModelPath === undefined ? scripted : [...scripted, embeddingRole]
  const audits: Role[] = options.standby === true ? ['audit', 'standby'] : ['audit']
  let output = ''
  let stopped = false

  async function start(role: Role, listen: Record<string, number>, extra: Record<string, string> = {}): Promise<void> {
    const script = scriptOf(role)
    const child = spawn(process.execPath, [script], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...environment(home), ...options.env, ...settings(role, listen), ...options.envOf?.[role], ...extra },
    })
    children.push(child)
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    if (options.standby === true && isAudit(role)) {
      child.once('exit', (code) => {
        if (code === exitStatus.again && !stopped) void start(role, listen)
      })
      // It listens once it writes the log.
      running.set(role, { child, ports: listen })
      return
    }
    const ports = await new Promise<Record<string, number>>((resolve, reject) => {
      child.once('exit', (code, signal) => reject(new Error(`${role} ended with ${code ?? signal} before it listened:\n${output}`)))
      child.on('message', (message: FromService) => message.type === 'listening' && resolve(message.ports))
    })
    running.set(role, { child, ports })
  }

  function scriptOf(role: Role): string {
    if (isAudit(role)) return 'services/audit/main.ts'
    if (!role.startsWith('worker-')) return `services/${role}/main.ts`
    return options.realModel === true || role === embeddingRole ? 'services/inference-worker/main.ts' : 'test/support/scripted-worker.ts'
  }

  function get(role: Role): Running {
    const found = running.get(role)
    if (found === undefined) throw new Error(`${role} was not started`)
    return found
  }

  function settings(role: Role, listen: Record<string, number>): Record<string, string> {
    const grpc = `127.0.0.1:${listen['grpc'] ?? 0}`
    const metrics = String(listen['metrics'] ?? 0)
    switch (role) {
      case 'audit':
        return { INTRAMUROS_AUDIT_LISTEN: grpc, INTRAMUROS_AUDIT_METRICS_PORT: metrics }
      case 'standby':
        return {
          INTRAMUROS_AUDIT_LISTEN: grpc,
          INTRAMUROS_AUDIT_METRICS_PORT: metrics,
          INTRAMUROS_AUDIT_FOLDER: join(home, 'standby'),
          INTRAMUROS_AUDIT_KEY_FOLDER: join(home, 'standby-key'),
          INTRAMUROS_AUDIT_KEY_FILE: join(home, 'audit-key/log.key'),
        }
      case 'tokenizer':
        return { INTRAMUROS_TOKENIZER_LISTEN: grpc, INTRAMUROS_TOKENIZER_METRICS_PORT: metrics }
      case 'gateway':
        return {
          INTRAMUROS_GATEWAY_PORT: String(listen['https'] ?? 0),
          INTRAMUROS_GATEWAY_METRICS_PORT: metrics,
          INTRAMUROS_GATEWAY_AUDIT: audits.map((audit) => `127.0.0.1:${get(audit).ports['grpc']}`).join(','),
          INTRAMUROS_GATEWAY_TOKENIZER: `127.0.0.1:${get('tokenizer').ports['grpc']}`,
          INTRAMUROS_GATEWAY_WORKERS: workers.map((worker) => `127.0.0.1:${get(worker).ports['grpc']}`).join(','),
        }
      default:
        return {
          INTRAMUROS_INFERENCE_WORKER_LISTEN: grpc,
          INTRAMUROS_INFERENCE_WORKER_METRICS_PORT: metrics,
          INTRAMUROS_INFERENCE_WORKER_MODEL: role === embeddingRole ? embeddingModel : model,
          TEST_BEHAVIOUR: JSON.stringify(behaviours[Number(role.slice('worker-'.length))] ?? {}),
        }
    }
  }

  async function ready(role: Role): Promise<void> {
    const address = `${monitor(role)}/readyz`
    await until(async () => (await fetch(address).catch(() => undefined))?.status === 200, `${role} to be ready`)
  }

  function monitor(role: Role): string {
    return `http://127.0.0.1:${get(role).ports['metrics']}`
  }

  async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  const platform: Platform = {
    home,
    get url() {
      return `https://localhost:${get('gateway').ports['https']}`
    },
    ca: await readFile(join(home, 'tls/ca.crt'), 'utf8'),
    key,
    model,
    embeddingModel,
    process: (role) => get(role).child,
    ports: (role) => get(role).ports,
    monitor,
    output: () => output,
    kill: (role) => end(get(role).child),
    restart: (role) => start(role, get(role).ports),
    ready,
    async drain(role, limitMs) {
      const { child } = get(role)
      const ended = once(child, 'exit')
      child.send({ type: 'drain', limitMs })
      const [code] = (await ended) as [number | null]
      return code
    },
    async stop() {
      stopped = true
      await Promise.all(children.map(end))
      await rm(home, { recursive: true, force: true })
    },
  }
  try {
    const peers: Role[] = ['audit', 'tokenizer', ...workers]
    await Promise.all(peers.map(async (role) => await start(role, isAudit(role) && options.standby === true ? await freePorts() : {})))
    if (options.standby === true) {
      await ready('audit')
      await start('standby', await freePorts())
    }
    await start('gateway', {})
    await ready('gateway')
    return platform
  } catch (thrown) {
    await platform.stop()
    throw thrown
  }
}

/** The default model under its id, but from the file that the tests have, whose digest they have checked already. */
function configurationOf({ modelPath = process.env['INTRAMUROS_TEST_MODEL'] ?? '', embeddingModelPath, sections }: PlatformOptions): string {
  const entries = [{ id: model, contextLength: 8192, from: { path: modelPath } }]
  if (embeddingModelPath !== undefined) entries.push({ id: embeddingModel, contextLength: 512, from: { path: embeddingModelPath } })
  const models = entries.map((entry) => ({
    ...entry,
    file: 'model.gguf',
    licence: 'Apache-2.0',
    openness: { weights: true, code: true, data: true, paper: true },
  }))
  return JSON.stringify({ ...sections, models, serve: entries.map(({ id }) => id) })
}

/** The caller's environment without its settings of an Intramuros of its own. */
function environment(home: string): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_') && !name.startsWith('OTEL_'))
  return { ...Object.fromEntries(inherited), INTRAMUROS_HOME: home }
}

function isAudit(role: Role): boolean {
  return role === 'audit' || role === 'standby'
}

async function freePorts(): Promise<Record<string, number>> {
  return { grpc: await freePort(), metrics: await freePort() }
}

/** Polls until a condition holds. For conditions outside this process, where there is no event to wait for. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, limitMs = 20_000): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
