import type { Listening, Must } from '../../shared/isolation/judge.ts'
import { isMetadataAddress, parseTarget, type Target } from '../../shared/isolation/target.ts'
import type { Component } from './components.ts'
import type { Peer } from './endpoints.ts'

/** What is tried, by what it stands for. */
export const kinds = ['internet', 'https', 'dns', 'ping', 'metadata', 'cluster-dns', 'api-server', 'other-namespace', 'node', 'node-port', 'component', 'unserved-port', 'peer'] as const
export type Kind = (typeof kinds)[number]

export interface Planned {
  kind: Kind
  target: Target
  must: Must
  listening: Listening
}

/** An address of this cluster or site, told by who set the check up; it surely listens. */
export interface Extra {
  kind: Kind
  target: Target
}

/** Kinds that an extra address can be of. */
export const extraKinds = ['internet', 'cluster-dns', 'api-server', 'other-namespace', 'node', 'node-port'] as const satisfies readonly Kind[]

export interface Prober {
  component: Component
  /** Address of its node; empty where it is not known. */
  node: string
}

export interface Surroundings {
  outside: readonly Target[]
  extra: readonly Extra[]
  peers: readonly Peer[]
  metricsPorts: Readonly<Record<Component, number>>
  /** The workers of a model that is spread over several pods talk to each other. */
  workersMeet: boolean
}

const kubeletPort = 10_250
/** Of many alike, so many are tried: policies select by labels, which all of them have. */
const mostPeers = 3

/** "api-server=tcp:10.0.0.1:6443"; undefined for what is none. */
export function parseExtra(text: string): Extra | undefined {
  const [name, address = ''] = text.split(/=(.*)/, 2)
  const kind = extraKinds.find((known) => known === name)
  const target = parseTarget(address)
  return kind === undefined || target === undefined ? undefined : { kind, target }
}

/** Everything that one prober tries. */
export function planFor({ component, node }: Prober, { outside, extra, peers, metricsPorts, workersMeet }: Surroundings): Planned[] {
  const fail = (kind: Kind, target: Target, listening: Listening): Planned => ({ kind, target, must: 'fail', listening })
  const nodeTargets = node === '' ? [] : [fail('node', { method: 'tcp', host: node, port: kubeletPort }, 'likely'), fail('node', { method: 'ping', host: node, port: 0 }, 'unknown')]
  const meets = (peer: Peer): boolean => workersMeet && component === 'inference-worker' && peer.component === component
  return unique([
    ...outside.map((target) => fail(kindOf(target), target, isMetadataAddress(target.host) ? 'unknown' : 'likely')),
    ...extra.map(({ kind, target }): Planned => {
      // The gateway follows the EndpointSlices of its namespace.
      const must = component === 'gateway' && kind === 'api-server' ? 'work' : 'fail'
      return { kind, target, must, listening: 'likely' }
    }),
    ...nodeTargets,
    ...sample(peers)
      .filter((peer) => !meets(peer))
      .flatMap((peer) => plansFor(component, peer, metricsPorts[peer.component])),
  ])
}

function plansFor(component: Component, { component: of, host, ready, grpcPort, httpsPort }: Peer, metricsPort: number): Planned[] {
  const plans: Planned[] = [
    // Of a pod that is ready the kubelet reaches this port all the time.
    { kind: 'component', target: { method: 'tcp', host, port: metricsPort }, must: 'fail', listening: ready ? 'proven' : 'unknown' },
    { kind: 'component', target: { method: 'ping', host, port: 0 }, must: 'fail', listening: 'unknown' },
  ]
  if (grpcPort !== undefined) {
    const allowed = component === 'gateway' && of !== 'gateway'
    plans.push({ kind: allowed ? 'peer' : 'component', target: { method: 'tcp', host, port: grpcPort }, must: allowed ? 'work' : 'fail', listening: 'unknown' })
  }
  if (httpsPort !== undefined) plans.push({ kind: 'component', target: { method: 'tcp', host, port: httpsPort }, must: 'fail', listening: ready ? 'proven' : 'unknown' })
  const unserved = (grpcPort ?? httpsPort ?? metricsPort) + 1
  if (unserved !== metricsPort && unserved < 65_536) plans.push({ kind: 'unserved-port', target: { method: 'tcp', host, port: unserved }, must: 'fail', listening: 'unknown' })
  return plans
}

function sample(peers: readonly Peer[]): Peer[] {
  const taken = new Map<Component, number>()
  return peers.filter(({ component }) => {
    const before = taken.get(component) ?? 0
    taken.set(component, before + 1)
    return before < mostPeers
  })
}

/** An address that is named twice is tried once, as what it was named first; but what must work stays so. */
function unique(plans: readonly Planned[]): Planned[] {
  const known = new Map<string, Planned>()
  for (const plan of plans) {
    const key = JSON.stringify(plan.target)
    const before = known.get(key)
    if (before === undefined || (before.must === 'fail' && plan.must === 'work')) known.set(key, plan)
  }
  return [...known.values()]
}

function kindOf({ method, host, port }: Target): Kind {
  if (isMetadataAddress(host)) return 'metadata'
  if (method === 'ping') return 'ping'
  if (method === 'dns' || port === 53) return 'dns'
  return port === 443 ? 'https' : 'internet'
}
