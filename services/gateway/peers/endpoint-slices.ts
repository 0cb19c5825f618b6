import type { V1EndpointSlice } from '@kubernetes/client-node'

/** Where the other services are: addresses as host:port. */
export interface Peers {
  tokenizer: readonly string[]
  audit: readonly string[]
  workers: readonly string[]
}

/** The chart names its Services' ports so. */
const portName = 'grpc'

/**
 * The peers that EndpointSlices tell of (discovery.k8s.io/v1), each once. A pod that is ending is none any more. One that is not ready is: whether
 * it can be used is seen on the lane to it, sooner and better than a probe says. But of the ledger only one that is ready: the others stand by.
 */
export function peersOf(slices: readonly V1EndpointSlice[]): Peers {
  const of = (component: string, onlyReady: boolean): string[] => {
    const addresses = slices.filter(({ metadata }) => metadata?.labels?.['app.kubernetes.io/component'] === component).flatMap((slice) => addressesOf(slice, onlyReady))
    return [...new Set(addresses)].toSorted()
  }
  return { tokenizer: of('tokenizer', false), audit: of('audit', true), workers: of('inference-worker', false) }
}

function addressesOf({ endpoints, ports, addressType }: V1EndpointSlice, onlyReady: boolean): string[] {
  const port = ports?.find(({ name }) => name === portName)?.port
  if (port === undefined || (addressType !== 'IPv4' && addressType !== 'IPv6')) return []
  return (endpoints ?? []).flatMap(({ addresses, conditions }) => {
    // All addresses of an endpoint are the same one; absent conditions mean yes and no (the API's own words).
    const [address] = addresses
    const usable = conditions?.terminating !== true && (!onlyReady || conditions?.ready !== false)
    return usable && address !== undefined ? [addressType === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`] : []
  })
}
