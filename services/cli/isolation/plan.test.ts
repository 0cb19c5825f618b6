import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatTarget, parseTarget, type Target } from '../../shared/isolation/target.ts'
import { components, type Component } from './components.ts'
import type { Peer } from './endpoints.ts'
import { type Extra, parseExtra, planFor, type Planned, type Surroundings } from './plan.ts'

const outside = ['tcp:192.0.2.1:443', 'tcp:192.0.2.1:53', 'dns:192.0.2.1:53', 'ping:192.0.2.1', 'tcp:192.0.2.1:80', 'tcp:169.254.169.254:80'].map(parseTarget).filter((target): target is Target => target !== undefined)
const metricsPorts = { gateway: 9464, tokenizer: 9462, audit: 9461, 'inference-worker': 9463 }
const peer = (component: Component, host: string, more: Partial<Peer> = {}): Peer => ({ component, host, ready: true, grpcPort: component === 'gateway' ? undefined : 50_051, httpsPort: component === 'gateway' ? 8443 : undefined, ...more })
const extra = ['api-server=tcp:10.96.0.1:443', 'cluster-dns=dns:10.96.0.10:53'].map(parseExtra).filter((one): one is Extra => one !== undefined)
const peers = [peer('gateway', '10.0.0.1'), peer('tokenizer', '10.0.0.2'), peer('audit', '10.0.0.3', { ready: false }), peer('inference-worker', '10.0.0.4')]
const surroundings: Surroundings = { outside, extra, peers, metricsPorts, workersMeet: false }

const told = ({ kind, target, must, listening }: Planned): string => `${kind} ${formatTarget(target)} ${must} ${listening}`

test('what a worker tries: it may reach nothing', () => {
  expect(planFor({ component: 'inference-worker', node: '10.1.0.1' }, surroundings).map(told)).toEqual([
    'https tcp:192.0.2.1:443 fail likely',
    'dns tcp:192.0.2.1:53 fail likely',
    'dns dns:192.0.2.1:53 fail likely',
    'ping ping:192.0.2.1 fail likely',
    'internet tcp:192.0.2.1:80 fail likely',
    'metadata tcp:169.254.169.254:80 fail unknown',
    'api-server tcp:10.96.0.1:443 fail likely',
    'cluster-dns dns:10.96.0.10:53 fail likely',
    'node tcp:10.1.0.1:10250 fail likely',
    'node ping:10.1.0.1 fail unknown',
    'component tcp:10.0.0.1:9464 fail proven',
    'component ping:10.0.0.1 fail unknown',
    'component tcp:10.0.0.1:8443 fail proven',
    'unserved-port tcp:10.0.0.1:8444 fail unknown',
    'component tcp:10.0.0.2:9462 fail proven',
    'component ping:10.0.0.2 fail unknown',
    'component tcp:10.0.0.2:50051 fail unknown',
    'unserved-port tcp:10.0.0.2:50052 fail unknown',
    // It is not ready: perhaps nothing listens there.
    'component tcp:10.0.0.3:9461 fail unknown',
    'component ping:10.0.0.3 fail unknown',
    'component tcp:10.0.0.3:50051 fail unknown',
    'unserved-port tcp:10.0.0.3:50052 fail unknown',
    'component tcp:10.0.0.4:9463 fail proven',
    'component ping:10.0.0.4 fail unknown',
    'component tcp:10.0.0.4:50051 fail unknown',
    'unserved-port tcp:10.0.0.4:50052 fail unknown',
  ])
})

test('what must work: the gateway reaches its peers and the API server, and nobody else anything', () => {
  const working = (component: Component): string[] => planFor({ component, node: '' }, surroundings).filter(({ must }) => must === 'work').map(told)
  expect(working('gateway')).toEqual(['api-server tcp:10.96.0.1:443 work likely', 'peer tcp:10.0.0.2:50051 work unknown', 'peer tcp:10.0.0.3:50051 work unknown', 'peer tcp:10.0.0.4:50051 work unknown'])
  for (const component of components) if (component !== 'gateway') expect(working(component)).toEqual([])
})

test('workers of a model that is spread over pods may meet; others may not', () => {
  const tries = (workersMeet: boolean, component: Component): boolean => planFor({ component, node: '' }, { ...surroundings, workersMeet }).some(({ target }) => target.host === '10.0.0.4' && target.port === 50_051)
  expect([tries(false, 'inference-worker'), tries(true, 'inference-worker'), tries(true, 'tokenizer')]).toEqual([true, false, true])
})

test('no address is tried twice, however many peers there are, and those stay few', () => {
  const arbitraryPeer = fc.record({ component: fc.constantFrom(...components), host: fc.ipV4(), ready: fc.boolean(), grpcPort: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }), httpsPort: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }) })
  fc.assert(
    fc.property(fc.constantFrom(...components), fc.array(arbitraryPeer, { maxLength: 40 }), (component, found) => {
      const planned = planFor({ component, node: '10.1.0.1' }, { ...surroundings, peers: found })
      const targets = planned.map(({ target }) => formatTarget(target))
      expect(new Set(targets).size).toBe(targets.length)
      expect(planned.every(({ target }) => parseTarget(formatTarget(target)) !== undefined)).toBe(true)
      expect(planned.length).toBeLessThanOrEqual(10 + 4 * 3 * 5)
    }),
  )
})

test.each(['', 'api-server', 'api-server=', 'api-server=10.0.0.1:443', 'peer=tcp:10.0.0.1:443', 'x=tcp:10.0.0.1:443', 'api-server=tcp:a.b:443'])('%j is no further address', (text) => {
  expect(parseExtra(text)).toBeUndefined()
})
