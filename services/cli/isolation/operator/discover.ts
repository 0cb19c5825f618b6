import type { CoreV1Api, DiscoveryV1Api } from '@kubernetes/client-node'
import { isIP } from 'node:net'
import { formatTarget, type Method } from '../../../shared/isolation/target.ts'
import type { extraKinds } from '../plan.ts'

export interface DiscoverOptions {
  core: CoreV1Api
  discovery: DiscoveryV1Api
  /** Told, once each, what could not be asked for. */
  say(line: string): void
}

const mostNodes = 3
const dnsSelector = 'k8s-app=kube-dns'

/**
 * Addresses of the cluster that no pod of ours may reach, as options of `probe collect`: the API server's own, the name servers' and their pods in another
 * namespace, nodes and a node port. What this user may not ask for is left out.
 */
export async function discoverTargets({ core, discovery, say }: DiscoverOptions): Promise<string[]> {
  const found = await Promise.all([
    asked("the API server's addresses", apiServer),
    asked('the name servers', nameServers),
    asked('the pods of the name servers', otherNamespace),
    asked('nodes', nodes),
  ])
  return [...new Set(found.flat())]

  async function asked(what: string, ask: () => Promise<string[]>): Promise<string[]> {
    try {
      return await ask()
    } catch (thrown) {
      const why = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'no answer'
      say(`Could not ask for ${what} (${why}): they are not tried.`)
      return []
    }
  }

  async function apiServer(): Promise<string[]> {
    const slice = await discovery.readNamespacedEndpointSlice({ name: 'kubernetes', namespace: 'default' })
    const port = slice.ports?.[0]?.port ?? 6443
    return (slice.endpoints ?? []).flatMap(({ addresses }) => addresses).flatMap((host) => option('api-server', 'tcp', host, port))
  }

  async function nameServers(): Promise<string[]> {
    const { items } = await core.listNamespacedService({ namespace: 'kube-system', labelSelector: dnsSelector })
    const hosts = items.flatMap(({ spec }) => spec?.clusterIPs ?? [])
    return hosts.flatMap((host) => [...option('cluster-dns', 'dns', host, 53), ...option('cluster-dns', 'tcp', host, 53)])
  }

  async function otherNamespace(): Promise<string[]> {
    const { items } = await discovery.listNamespacedEndpointSlice({ namespace: 'kube-system', labelSelector: dnsSelector })
    return items.flatMap(({ endpoints, ports }) => {
      const [host] = endpoints?.find(({ conditions }) => conditions?.ready !== false)?.addresses ?? []
      const port = ports?.find(({ protocol, port: number }) => protocol === 'TCP' && number !== undefined)?.port
      return host === undefined || port === undefined ? [] : option('other-namespace', 'tcp', host, port)
    })
  }

  async function nodes(): Promise<string[]> {
    const [{ items }, services] = await Promise.all([core.listNode({ limit: mostNodes }), core.listServiceForAllNamespaces({})])
    const hosts = items.flatMap(({ status }) => (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address))
    const nodePort = services.items.flatMap(({ spec }) => spec?.ports ?? []).find(({ nodePort: port, protocol }) => port !== undefined && (protocol ?? 'TCP') === 'TCP')?.nodePort
    return hosts.flatMap((host) => [...option('node', 'tcp', host, 10_250), ...(nodePort === undefined ? [] : option('node-port', 'tcp', host, nodePort))])
  }
}

function option(kind: (typeof extraKinds)[number], method: Method, host: string, port: number): string[] {
  return isIP(host) === 0 ? [] : [`${kind}=${formatTarget({ method, host, port })}`]
}
