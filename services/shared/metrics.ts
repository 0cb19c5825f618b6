import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** The registry of one service: its own metrics and Node's default ones. */
export function createRegistry(service: string, version: string): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  // The delay of the event loop is sampled by a timer: at the default, each 10 ms, it is most of what an idle service does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 })
  new Gauge({ name: 'intramuros_build_info', help: 'Always 1; the label tells the version.', labelNames: ['version'], registers: [registry] }).set({ version }, 1)
  return registry
}

export interface MonitorOptions {
  registry: Registry
  host: string
  /** 0 takes a free one. */
  port: number
  /** True while the process can do work at all. */
  live(): boolean
  /** True while it would serve a request sent now. */
  ready(): boolean
  /** What is said beside "ready"; undefined: nothing. */
  warning?(): string | undefined
  /** What is said beside "not ready"; undefined: nothing. */
  notReady?(): string | undefined
}

export interface Monitor {
  port: number
  close(): void
}

/** HTTP for Prometheus and probes, apart from the service's own port: `/metrics`, `/livez`, `/readyz`. */
export async function startMonitor({ registry, host, port, live, ready, warning, notReady }: MonitorOptions): Promise<Monitor> {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 5000 }, (request, response) => {
    const answer = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, { 'content-type': type }).end(text)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET\n')
    switch (request.url) {
      case '/livez':
        return live() ? answer(200, 'live\n') : answer(503, 'not live\n')
      case '/readyz':
        return ready() ? answer(200, `ready\n${warningLine(warning?.())}`) : answer(503, `not ready\n${reasonLine(notReady?.())}`)
      case '/metrics':
        registry.metrics().then(
          (text) => answer(200, text, registry.contentType),
          () => answer(500, 'the metrics could not be gathered\n'),
        )
        return
      default:
        return answer(404, 'try /metrics, /livez or /readyz\n')
    }
  })
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** How `/readyz` says a warning, behind its first line. */
export const warningPrefix = 'warning: '

function reasonLine(reason: string | undefined): string {
  return reason === undefined ? '' : `${reason}\n`
}

function warningLine(warning: string | undefined): string {
  return warning === undefined ? '' : `${warningPrefix}${warning}\n`
}
