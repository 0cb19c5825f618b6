import type { Logger } from '../../../shared/log.ts'
import type { Upstream } from '../engine.ts'
import { readGauge } from './gauges.ts'
import type { HttpClient } from './http-client.ts'
import { UpstreamError } from './upstream-error.ts'

export interface MonitorOptions {
  http: HttpClient
  healthPath: string
  gauges: { running: string; waiting: string }
  /** Whether the server is still the one that it was. Throws when not, with words for the log. */
  check(signal: AbortSignal): Promise<void>
  log: Logger
  /** So long without its metrics, which come from the engine itself in some servers, means that it hangs. */
  hangMs: number
  /** Between two looks; a second by default. */
  intervalMs?: number
}

/** Looks after a server that was found well: whether it answers, and how busy it is. */
export interface Monitor extends Upstream {
  /** A request to it went wrong: it is not up until it was looked at. */
  suspect(): void
  close(): void
}

const healthMs = 5000
const metricsMs = 5000

export function createMonitor({ http, healthPath, gauges, check, log, hangMs, intervalMs = 1000 }: MonitorOptions): Monitor {
  const closing = new AbortController()
  const { signal } = closing
  const listeners = new Set<() => void>()
  let up = true
  let load: { running: number; waiting: number } | undefined
  let tellsLoad = true
  let lateSince: number | undefined
  /** Two in a row: a busy server may be late once. */
  let misses = 0
  let timer: NodeJS.Timeout | undefined
  let lastTrouble = ''

  function down(why: string): void {
    if (up) log.warn({ why }, "the model's server does not answer")
    up = false
  }

  function trouble(thrown: unknown): void {
    const why = thrown instanceof Error ? thrown.message : 'unknown'
    if (why !== lastTrouble) log.error({ why }, "the model's server is not what it was")
    lastTrouble = why
  }

  function tell(next: typeof load): void {
    const isSame = load?.running === next?.running && load?.waiting === next?.waiting
    load = next
    if (!isSame) for (const listener of listeners) listener()
  }

  async function readLoad(): Promise<void> {
    if (!tellsLoad) return
    const begin = performance.now()
    try {
      const text = await http.text({ method: 'GET', path: '/metrics', signal }, Math.min(metricsMs, hangMs))
      lateSince = undefined
      const running = readGauge(text, gauges.running)
      const waiting = readGauge(text, gauges.waiting)
      tell(running === undefined || waiting === undefined ? undefined : { running, waiting })
    } catch (thrown) {
      tell(undefined)
      if (thrown instanceof UpstreamError && thrown.reason === 'timeout') {
        lateSince ??= begin
        if (performance.now() - lateSince > hangMs) down('hangs')
      } else lateSince = undefined
      if (!(thrown instanceof UpstreamError && (thrown.reason === 'not_found' || thrown.reason === 'unauthorised'))) return
      tellsLoad = false
      log.info({}, "the model's server tells no metrics")
    }
  }

  async function look(): Promise<void> {
    try {
      await http.text({ method: 'GET', path: healthPath, signal }, healthMs)
      misses = 0
    } catch (thrown) {
      misses += 1
      const reason = thrown instanceof UpstreamError ? thrown.reason : 'unknown'
      if (misses > 1 || reason === 'unreachable') down(reason)
      tell(undefined)
      return
    }
    if (!up) {
      try {
        await check(signal)
      } catch (thrown) {
        trouble(thrown)
        return
      }
      up = true
      lateSince = undefined
      lastTrouble = ''
      tellsLoad = true
      log.info({}, "the model's server answers again")
    }
    await readLoad()
  }

  function next(): void {
    timer = setTimeout(() => void look().finally(() => signal.aborted || next()), intervalMs)
  }
  next()

  return {
    get up() {
      return up
    },
    get load() {
      return load
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    suspect: () => down('a request failed'),
    close() {
      clearTimeout(timer)
      closing.abort()
    },
  }
}
