import type { V1EndpointSlice } from '@kubernetes/client-node'
import { asComponent, type Component, type ProbedComponent, probedComponents } from './components.ts'

/** A pod that serves. */
export interface Peer {
  component: Component
  host: string
  ready: boolean
  /** What its Service names so; undefined where it does not. */
  grpcPort: number | undefined
  httpsPort: number | undefined
}

/** A pod that probes. */
export interface ProbePod {
  component: ProbedComponent
  pod: string
  /** "host:port" */
  address: string
}

export interface Endpoints {
  peers: Peer[]
  probes: ProbePod[]
}

/** On Services that lead to probe pods: the component whose labels the pods have. Such Services have no app.kubernetes.io/component of a peer. */
export const probeLabel = 'intramuros.io/probe-of'

/** The pods that EndpointSlices tell of, each once, in an order that is always the same. Those that are ending are left out. */
export function endpointsOf(slices: readonly V1EndpointSlice[]): Endpoints {
  const peers = new Map<string, Peer>()
  const probes = new Map<string, ProbePod>()
  for (const { metadata, endpoints, ports, addressType } of slices) {
    if (addressType !== 'IPv4' && addressType !== 'IPv6') continue
    const portOf = (wanted: string): number | undefined => ports?.find(({ name }) => name === wanted)?.port
    const probed = probedComponents.find((component) => component === metadata?.labels?.[probeLabel])
    const component = asComponent(metadata?.labels?.['app.kubernetes.io/component'])
    for (const { addresses, conditions, targetRef } of endpoints ?? []) {
      const [host] = addresses
      if (host === undefined || conditions?.terminating === true) continue
      const grpcPort = portOf('grpc')
      if (probed !== undefined) {
        if (grpcPort !== undefined) probes.set(host, { component: probed, pod: targetRef?.name ?? host, address: addressType === 'IPv6' ? `[${host}]:${grpcPort}` : `${host}:${grpcPort}` })
      } else if (component !== undefined) {
        const known = peers.get(host)
        peers.set(host, { component, host, ready: conditions?.ready !== false, grpcPort: known?.grpcPort ?? grpcPort, httpsPort: known?.httpsPort ?? portOf('https') })
      }
    }
  }
  return { peers: sorted(peers), probes: sorted(probes) }
}

function sorted<Value>(found: ReadonlyMap<string, Value>): Value[] {
  return [...found.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value)
}
