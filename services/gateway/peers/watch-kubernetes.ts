import type { V1EndpointSlice } from '@kubernetes/client-node'
import { describeError, type Logger } from '../../shared/log.ts'
import { type Peers, peersOf } from './endpoint-slices.ts'

export interface WatchKubernetesOptions {
  namespace: string
  /** Label selector of the installation's Services, whose labels their EndpointSlices have. */
  selector: string
  log: Logger
  /** Told of all peers, whenever they change. */
  onPeers(peers: Peers): void
  /** Where the API server is and who asks; of a test. Default: the pod's service account. */
  kubeconfig?: string
}

const [firstRetryMs, lastRetryMs] = [250, 5000]
/** Slices change in bursts while pods come and go. */
const settleMs = 20

/**
 * Follows the EndpointSlices of the installation. After any end of the watch it goes on where it was; while the API server is away, what was last known
 * stays. Resolves when it has begun; the API server need not be there. Throws when this is no pod of a cluster.
 */
export async function watchKubernetes({ namespace, selector, log, onPeers, kubeconfig }: WatchKubernetesOptions): Promise<{ close(): Promise<void> }> {
  // 0.7 s and 70 MB that only a gateway in a cluster has to spend.
  const { DiscoveryV1Api, KubeConfig, makeInformer } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  if (kubeconfig === undefined) config.loadFromCluster()
  else config.loadFromString(kubeconfig)
  const api = config.makeApiClient(DiscoveryV1Api)
  const path = `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`
  const informer = makeInformer<V1EndpointSlice>(config, path, () => api.listNamespacedEndpointSlice({ namespace, labelSelector: selector }), selector)
  let known = ''
  let settling: NodeJS.Timeout | undefined
  let retry: NodeJS.Timeout | undefined
  let retryMs = firstRetryMs
  let closed = false
  let away = false

  function tell(): void {
    settling = undefined
    const peers = peersOf([...informer.list()])
    const text = JSON.stringify(peers)
    if (closed || text === known) return
    known = text
    log.info({ tokenizers: peers.tokenizer.length, audit: peers.audit.length, workers: peers.workers.length }, 'peers changed')
    onPeers(peers)
  }

  informer.on('change', () => {
    away = false
    retryMs = firstRetryMs
    settling ??= setTimeout(tell, settleMs)
  })
  informer.on('error', (thrown: unknown) => {
    if (closed) return
    if (!away) log.warn({ err: describeError(thrown) }, 'the Kubernetes API can not be asked for the peers: what was last known stays')
    away = true
    retry = setTimeout(begin, retryMs * (0.75 + Math.random() / 2))
    retryMs = Math.min(2 * retryMs, lastRetryMs)
  })

  function begin(): void {
    if (!closed) informer.start().catch(() => undefined) // told by 'error'
  }

  begin()
  return {
    async close() {
      closed = true
      clearTimeout(settling)
      clearTimeout(retry)
      await informer.stop()
    },
  }
}
