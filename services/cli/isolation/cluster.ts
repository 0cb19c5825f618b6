import type { V1EndpointSlice } from '@kubernetes/client-node'

/** What the collector asks the API server, as the gateway's service account. */
export interface ClusterReader {
  /** Where the API server is: "host:port" of an IP address. */
  apiServer: { host: string; port: number } | undefined
  /** All EndpointSlices of the namespace that the selector selects. */
  endpointSlices(selector: string): Promise<V1EndpointSlice[]>
}

const answerMs = 10_000

/** `kubeconfig`: file; undefined: the pod's service account. Throws when there is none. */
export async function readCluster(namespace: string, kubeconfig: string | undefined): Promise<ClusterReader> {
  const { DiscoveryV1Api, KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  if (kubeconfig === undefined) config.loadFromCluster()
  else config.loadFromFile(kubeconfig)
  const api = config.makeApiClient(DiscoveryV1Api)
  const { hostname = '', port = '', protocol = '' } = URL.parse(config.getCurrentCluster()?.server ?? '') ?? {}
  return {
    apiServer: hostname === '' ? undefined : { host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port) || (protocol === 'http:' ? 80 : 443) },
    async endpointSlices(labelSelector) {
      const answer = await api.listNamespacedEndpointSlice({ namespace, labelSelector, timeoutSeconds: answerMs / 1000 })
      return answer.items
    },
  }
}
