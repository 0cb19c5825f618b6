import { join } from 'node:path'
import type { Config } from '../../services/shared/config/schema.ts'
import type { ServiceName } from '../../services/shared/supervision.ts'
import { type Bind, freePort, resolvePort } from './ports.ts'
import type { ChildSpec } from './supervise.ts'

/** A service's process: its name, and the ports that it gets and keeps over restarts. */
interface Place {
  name: string
  service: ServiceName
  binds: Bind[]
  ports: Record<string, number>
  env: Record<string, string>
}

export interface Wiring {
  /** In the order of need. */
  specs: ChildSpec[]
  /** By name of the process: `grpc` or `https`, and `metrics`. */
  ports: ReadonlyMap<string, Record<string, number>>
  /** Base address for clients. */
  address: string
  /** Where a port is another than was asked for. */
  notes: string[]
}

export const servicesFolder = join(import.meta.dirname, '../../services')

/**
 * Chooses the ports and writes down how each service finds its peers, as environment variables: so that all can start
 * at once, and one that is restarted is where it was. One inference worker for each served model. `env` is the
 * environment that all get; `token` marks their command lines; `services` is the folder that holds a folder with a
 * main.ts for each.
 */
export async function wire(config: Config, env: NodeJS.ProcessEnv, token: string, services: string): Promise<Wiring> {
  const taken = new Set<number>()
  const notes: string[] = []

  async function choose(setting: string, host: string, port: number): Promise<Bind> {
    const chosen = await resolvePort({ setting, host, port, explicit: setting in config.origins }, taken)
    if (port !== 0 && chosen !== port) {
      notes.push(`port ${port} (${setting}) is used by another program, so it is ${chosen} this time.`)
    }
    return { setting, host, port: chosen }
  }

  function place(name: string, service: ServiceName, listen: Bind, metrics: Bind, peers: Record<string, string>): Place {
    const prefix = `INTRAMUROS_${service.replaceAll('-', '_').toUpperCase()}`
    const kind = service === 'gateway' ? 'https' : 'grpc'
    return {
      name,
      service,
      binds: [listen, metrics],
      ports: { [kind]: listen.port, metrics: metrics.port },
      env: {
        ...(service === 'gateway' ? { [`${prefix}_PORT`]: String(listen.port) } : { [`${prefix}_LISTEN`]: authority(listen) }),
        [`${prefix}_METRICS_PORT`]: String(metrics.port),
        ...peers,
      },
    }
  }

  // What the user asked for comes first, so that no port that is chosen freely gets in its way.
  const https = await choose('gateway.port', config.gateway.host, config.gateway.port)
  const metrics = {
    audit: await choose('audit.metricsPort', config.metricsHost, config.audit.metricsPort),
    tokenizer: await choose('tokenizer.metricsPort', config.metricsHost, config.tokenizer.metricsPort),
    worker: await choose('inferenceWorker.metricsPort', config.metricsHost, config.inferenceWorker.metricsPort),
    gateway: await choose('gateway.metricsPort', config.metricsHost, config.gateway.metricsPort),
  }
  const grpc = {
    audit: await choose('audit.listen', ...split(config.audit.listen)),
    tokenizer: await choose('tokenizer.listen', ...split(config.tokenizer.listen)),
    worker: await choose('inferenceWorker.listen', ...split(config.inferenceWorker.listen)),
  }

  const workers: Place[] = []
  for (const [index, model] of config.serve.entries()) {
    // The settings tell where the first worker is; the others are beside it on free ports.
    const first = index === 0
    const listen = first ? grpc.worker : { ...grpc.worker, port: await freePort(grpc.worker.host, taken) }
    const monitor = first ? metrics.worker : { ...metrics.worker, port: await freePort(config.metricsHost, taken) }
    const name = first ? 'inference-worker' : `inference-worker-${index + 1}`
    workers.push(place(name, 'inference-worker', listen, monitor, { INTRAMUROS_INFERENCE_WORKER_MODEL: model }))
  }
  const places = [
    place('audit', 'audit', grpc.audit, metrics.audit, {}),
    place('tokenizer', 'tokenizer', grpc.tokenizer, metrics.tokenizer, {}),
    ...workers,
    place('gateway', 'gateway', https, metrics.gateway, {
      INTRAMUROS_GATEWAY_AUDIT: authority(grpc.audit),
      INTRAMUROS_GATEWAY_TOKENIZER: authority(grpc.tokenizer),
      INTRAMUROS_GATEWAY_WORKERS: workers.flatMap(({ binds }) => binds.slice(0, 1).map(authority)).join(','),
    }),
  ]
  // All see the same ports, as each checks the whole configuration; a further worker has its own in place of the first one's.
  const shared: NodeJS.ProcessEnv = {}
  for (const { name, service, env: own } of places) if (name === service) Object.assign(shared, own)
  return {
    specs: places.map(({ name, service, binds, env: own }) => ({
      name,
      args: [join(services, service, 'main.ts'), `--platform=${token}`],
      env: { ...withoutKey(env, config, service), ...shared, ...own },
      binds,
    })),
    ports: new Map(places.map(({ name, ports }) => [name, ports])),
    address: publicAddress(https.host, https.port),
    notes,
  }
}

/** The key of encrypted models is for those alone that read a model's file. */
function withoutKey(env: NodeJS.ProcessEnv, { modelEncryption }: Config, service: ServiceName): NodeJS.ProcessEnv {
  if (service === 'tokenizer' || service === 'inference-worker') return env
  const { [modelEncryption.keyVariable]: _, ...others } = env
  return others
}

/** The address to tell clients. The certificate holds localhost's name beside its addresses. */
export function publicAddress(host: string, port: number): string {
  const local = ['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'].includes(host)
  return `https://${authority({ host: local ? 'localhost' : host, port })}`
}

export function authority({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Parts of a valid `host:port`. */
function split(listen: string): [host: string, port: number] {
  const colon = listen.lastIndexOf(':')
  return [listen.slice(0, colon).replace(/^\[|\]$/g, ''), Number(listen.slice(colon + 1))]
}
