import type { V1Endpoint, V1EndpointSlice } from '@kubernetes/client-node'
import { expect, test } from 'vitest'
import { peersOf } from './endpoint-slices.ts'

function slice(component: string, endpoints: V1Endpoint[] | undefined, more: Partial<V1EndpointSlice> = {}): V1EndpointSlice {
  const ports = [
    { name: 'metrics', port: 9463 },
    { name: 'grpc', port: 50051 },
  ]
  // The API server sends null for no endpoints, whatever the type says.
  return { addressType: 'IPv4', endpoints: endpoints as V1Endpoint[], ports, metadata: { labels: { 'app.kubernetes.io/component': component } }, ...more }
}

test('workers of several Services and slices are found once each, in an order that does not depend on the API', () => {
  const slices = [
    slice('inference-worker', [{ addresses: ['10.1.0.9'] }, { addresses: ['10.1.0.3'], conditions: { ready: true } }]),
    slice('inference-worker', [{ addresses: ['10.1.0.3'] }]),
    slice('inference-worker', [{ addresses: ['fd00::7'] }], { addressType: 'IPv6' }),
    slice('gateway', [{ addresses: ['10.1.0.1'] }]),
  ]
  expect(peersOf(slices)).toEqual({ tokenizer: [], audit: [], workers: ['10.1.0.3:50051', '10.1.0.9:50051', '[fd00::7]:50051'] })
})

test('a pod that is ending is no peer; one that is not ready is, unless it is a ledger, which then stands by', () => {
  const endpoints: V1Endpoint[] = [
    { addresses: ['10.1.0.1'], conditions: { ready: false, serving: true, terminating: true } },
    { addresses: ['10.1.0.2'], conditions: { ready: false, serving: false, terminating: false } },
    { addresses: ['10.1.0.3'], conditions: { ready: true } },
  ]
  const both = ['10.1.0.2:50051', '10.1.0.3:50051']
  expect(peersOf(['inference-worker', 'tokenizer', 'audit'].map((component) => slice(component, endpoints)))).toEqual({ tokenizer: both, audit: ['10.1.0.3:50051'], workers: both })
})

test('slices with no endpoints, no port of ours, or of host names are passed over', () => {
  const slices = [
    slice('audit', undefined),
    slice('tokenizer', [{ addresses: ['10.1.0.1'] }], { ports: [{ name: 'metrics', port: 1 }] }),
    slice('inference-worker', [{ addresses: ['worker.example.org'] }], { addressType: 'FQDN' }),
    slice('inference-worker', [{ addresses: [] }]),
  ]
  expect(peersOf(slices)).toEqual({ tokenizer: [], audit: [], workers: [] })
})
