import { setTimeout as after } from 'node:timers/promises'
import type { Observation } from '../../shared/isolation/observation.ts'
import type { Target } from '../../shared/isolation/target.ts'
import type { AskedProbe } from './ask-probe.ts'
import type { ProbedComponent } from './components.ts'
import { type Endpoints, endpointsOf, type Peer, type ProbePod } from './endpoints.ts'
import type { ClusterReader } from './cluster.ts'
import { type Extra, planFor, type Prober, type Surroundings } from './plan.ts'
import { makeReport, type Report, type ReportOptions, type Tried } from './report.ts'

export interface CollectOptions extends Pick<Surroundings, 'outside' | 'metricsPorts' | 'workersMeet'> {
  cluster: ClusterReader
  /** Label selector of the installation's Services. */
  selector: string
  extra: readonly Extra[]
  expected: readonly ProbedComponent[]
  head: Pick<ReportOptions, 'id' | 'software' | 'namespace' | 'collector'>
  /** Address of this pod's node; empty where it is not known. */
  node: string
  /** How long probes may take to come up, milliseconds. */
  waitMs: number
  timeoutMs: number
  connect(probe: ProbePod): Promise<AskedProbe>
  /** What this pod itself, with the gateway's labels, gets through to. */
  attemptHere(targets: readonly Target[], timeoutMs: number): Promise<Observation[]>
  now(): Date
  say(line: string): void
}

const pollMs = 1000

/** Waits for the probes, lets each try what it must not and what it must reach, and makes the report. Throws when the API server can't be asked. */
export async function collect(options: CollectOptions): Promise<{ report: Report; peers: Peer[] }> {
  const { cluster, extra, expected, head, node, timeoutMs, connect, attemptHere, now, say } = options
  const startedAt = now().toISOString()
  const { peers, probes } = await waitForProbes(options)
  const apiServer: Extra[] = cluster.apiServer === undefined ? [] : [{ kind: 'api-server', target: { method: 'tcp', ...cluster.apiServer } }]
  const surroundings: Surroundings = { ...options, peers, extra: [...apiServer, ...extra] }
  const failures: string[] = []
  say(`Trying from ${probes.length + 1} pods; what is held back takes ${timeoutMs / 1000} s to be known.`)

  async function tryFrom(prober: Prober & { pod: string }, attempt: (targets: readonly Target[]) => Promise<Observation[]>): Promise<Tried> {
    const planned = planFor(prober, surroundings)
    const observations = await attempt(planned.map(({ target }) => target))
    return { ...prober, planned, observations }
  }

  async function tryProbe(probe: ProbePod): Promise<Tried[]> {
    let asked: AskedProbe | undefined
    try {
      const connected = await connect(probe)
      asked = connected
      return [await tryFrom({ component: probe.component, pod: probe.pod, node: connected.node }, (targets) => connected.attempt(targets, timeoutMs))]
    } catch (thrown) {
      failures.push(`${probe.component} (${probe.pod}): the probe could not be asked: ${thrown instanceof Error ? thrown.message : 'it failed without an error'}`)
      return []
    } finally {
      asked?.close()
    }
  }

  const here = tryFrom({ component: 'gateway', pod: head.collector, node }, (targets) => attemptHere(targets, timeoutMs))
  const tried = await Promise.all([here.then((own) => [own]), ...probes.map(tryProbe)])
  const report = makeReport({ ...head, startedAt, endedAt: now().toISOString(), tried: tried.flat(), expected: ['gateway', ...expected], failures })
  return { report, peers }
}

/** Until there is one of each component, or long enough. */
async function waitForProbes({ cluster, selector, expected, waitMs, now, say }: CollectOptions): Promise<Endpoints> {
  const deadline = now().getTime() + waitMs
  let told = ''
  for (;;) {
    const endpoints = endpointsOf(await cluster.endpointSlices(selector))
    const missing = expected.filter((component) => !endpoints.probes.some((probe) => probe.component === component))
    if (missing.length === 0 || now().getTime() >= deadline) return endpoints
    const line = `Waiting for the probes of ${missing.join(', ')}.`
    if (line !== told) say(line)
    told = line
    await after(pollMs)
  }
}
