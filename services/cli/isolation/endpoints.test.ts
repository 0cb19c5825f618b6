import type { V1EndpointSlice } from '@kubernetes/client-node'
import { expect, test } from 'vitest'
import { endpointsOf } from './endpoints.ts'

const slice = (labels: Record<string, string>, endpoints: NonNullable<V1EndpointSlice['endpoints']>, ports: NonNullable<V1EndpointSlice['ports']> = [{ name: 'grpc', port: 50_051 }], addressType = 'IPv4'): V1EndpointSlice => ({ metadata: { labels }, addressType, endpoints, ports })
const component = (name: string): Record<string, string> => ({ 'app.kubernetes.io/component': name })

test('peers by their component, probes by whom they stand for', () => {
  const found = endpointsOf([
    slice(component('tokenizer'), [{ addresses: ['10.0.0.2'], conditions: { ready: false } }, { addresses: ['10.0.0.1'] }]),
    slice(component('gateway'), [{ addresses: ['fd00::1'] }], [{ name: 'https', port: 8443 }], 'IPv6'),
    slice({ ...component('isolation-probe'), 'intramuros.io/probe-of': 'audit' }, [{ addresses: ['10.0.0.9'], targetRef: { name: 'probe-x' } }]),
    slice({ 'intramuros.io/probe-of': 'tokenizer' }, [{ addresses: ['fd00::9'] }], undefined, 'IPv6'),
  ])
  expect(found.peers).toEqual([
    { component: 'tokenizer', host: '10.0.0.1', ready: true, grpcPort: 50_051, httpsPort: undefined },
    { component: 'tokenizer', host: '10.0.0.2', ready: false, grpcPort: 50_051, httpsPort: undefined },
    { component: 'gateway', host: 'fd00::1', ready: true, grpcPort: undefined, httpsPort: 8443 },
  ])
  expect(found.probes).toEqual([
    { component: 'audit', pod: 'probe-x', address: '10.0.0.9:50051' },
    { component: 'tokenizer', pod: 'fd00::9', address: '[fd00::9]:50051' },
  ])
})

test('a pod that several Services lead to is one; what ends, is named otherwise or has no address is none', () => {
  const found = endpointsOf([
    slice(component('gateway'), [{ addresses: ['10.0.0.1'] }], [{ name: 'https', port: 8443 }]),
    slice(component('gateway'), [{ addresses: ['10.0.0.1'] }], [{ name: 'metrics', port: 9464 }]),
    slice(component('audit'), [{ addresses: ['10.0.0.3'], conditions: { terminating: true } }, { addresses: [] }]),
    slice(component('database'), [{ addresses: ['10.0.0.4'] }]),
    slice({ 'intramuros.io/probe-of': 'gateway' }, [{ addresses: ['10.0.0.5'] }]),
    slice(component('audit'), [{ addresses: ['audit.example'] }], undefined, 'FQDN'),
    { endpoints: undefined as never, addressType: 'IPv4' },
  ])
  expect(found).toEqual({ peers: [{ component: 'gateway', host: '10.0.0.1', ready: true, grpcPort: undefined, httpsPort: 8443 }], probes: [] })
})
