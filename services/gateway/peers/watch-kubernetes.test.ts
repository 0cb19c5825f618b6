import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { V1EndpointSlice } from '@kubernetes/client-node'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import type { Peers } from './endpoint-slices.ts'
import { watchKubernetes } from './watch-kubernetes.ts'

/** What the API server's list and watch of EndpointSlices do; the real one is asked in test/cluster. */
interface ScriptedApi {
  kubeconfig: string
  port: number
  lists: number
  /** Where watches began. */
  watched: string[]
  send(type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'ERROR', object: object): void
  /** Ends the watches, in the middle or in order. */
  cut(how: 'end' | 'destroy'): void
  close(): Promise<void>
}

const selector = 'app.kubernetes.io/instance=llm'
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function startApi(items: () => V1EndpointSlice[], port = 0): Promise<ScriptedApi> {
  const watches = new Set<ServerResponse>()
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api')
    expect(url.pathname).toBe('/apis/discovery.k8s.io/v1/namespaces/walls/endpointslices')
    expect(url.searchParams.get('labelSelector')).toBe(selector)
    response.setHeader('content-type', 'application/json')
    if (url.searchParams.get('watch') === null) {
      api.lists += 1
      response.end(JSON.stringify({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSliceList', metadata: { resourceVersion: '10' }, items: items() }))
      return
    }
    api.watched.push(url.searchParams.get('resourceVersion') ?? '')
    response.flushHeaders()
    watches.add(response)
    response.on('close', () => watches.delete(response))
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const bound = (server.address() as AddressInfo).port
  const user = { name: 'u', user: {} }
  const kubeconfig = JSON.stringify({
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${bound}`, 'insecure-skip-tls-verify': true } }],
    users: [user],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  })
  const api: ScriptedApi = {
    kubeconfig,
    port: bound,
    lists: 0,
    watched: [],
    send(type, object) {
      for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`)
    },
    cut(how) {
      for (const watch of watches) if (how === 'end') watch.end()
      else watch.destroy()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  closing.push(() => api.close())
  return api
}

function slice(name: string, version: number, ...addresses: string[]): V1EndpointSlice {
  const labels = { 'app.kubernetes.io/component': 'inference-worker' }
  return { metadata: { name, namespace: 'walls', resourceVersion: String(version), labels }, addressType: 'IPv4', endpoints: addresses.map((address) => ({ addresses: [address] })), ports: [{ name: 'grpc', port: 50051 }] }
}

async function watch(api: ScriptedApi): Promise<Peers[]> {
  const told: Peers[] = []
  const watching = await watchKubernetes({ namespace: 'walls', selector, log: pino({ enabled: false }), kubeconfig: api.kubeconfig, onPeers: (peers) => told.push(peers) })
  closing.push(() => watching.close())
  return told
}

const workersOf = (told: Peers[]): readonly string[] | undefined => told.at(-1)?.workers

test('peers come, change and go as the API tells', async () => {
  const api = await startApi(() => [slice('a', 1, '10.1.0.1')])
  const told = await watch(api)
  await expect.poll(() => workersOf(told)).toEqual(['10.1.0.1:50051'])
  await expect.poll(() => api.watched).toEqual(['10'])
  api.send('ADDED', slice('b', 11, '10.1.0.2'))
  await expect.poll(() => workersOf(told)).toEqual(['10.1.0.1:50051', '10.1.0.2:50051'])
  api.send('MODIFIED', slice('a', 12, '10.1.0.3'))
  await expect.poll(() => workersOf(told)).toEqual(['10.1.0.2:50051', '10.1.0.3:50051'])
  api.send('DELETED', slice('b', 13, '10.1.0.2'))
  await expect.poll(() => workersOf(told)).toEqual(['10.1.0.3:50051'])
})

test.each(['end', 'destroy'] as const)('after the watch ended (%s) it goes on where it was', async (how) => {
  const api = await startApi(() => [slice('a', 1, '10.1.0.1')])
  const told = await watch(api)
  await expect.poll(() => api.watched).toEqual(['10'])
  api.send('ADDED', slice('b', 11, '10.1.0.2'))
  await expect.poll(() => workersOf(told)).toHaveLength(2)
  api.cut(how)
  await expect.poll(() => api.watched, { timeout: 5000 }).toEqual(['10', '11'])
  api.send('DELETED', slice('a', 12, '10.1.0.1'))
  await expect.poll(() => workersOf(told)).toEqual(['10.1.0.2:50051'])
  expect(api.lists).toBe(1)
})

test('what is too old to go on from is listed again', async () => {
  let items = [slice('a', 1, '10.1.0.1')]
  const api = await startApi(() => items)
  const told = await watch(api)
  await expect.poll(() => api.watched).toEqual(['10'])
  items = [slice('c', 20, '10.1.0.9')]
  api.send('ERROR', { kind: 'Status', code: 410, reason: 'Expired' })
  api.cut('end')
  await expect.poll(() => workersOf(told), { timeout: 5000 }).toEqual(['10.1.0.9:50051'])
  expect(api.lists).toBe(2)
})

test('while the API server is away the last known peers stay, and it is asked again until it is back', async () => {
  const api = await startApi(() => [slice('a', 1, '10.1.0.1')])
  const told = await watch(api)
  await expect.poll(() => api.watched).toEqual(['10'])
  await api.close()
  const back = await startApi(() => [slice('a', 1, '10.1.0.1')], api.port)
  await expect.poll(() => back.watched.length, { timeout: 10_000 }).toBe(1)
  expect(told).toHaveLength(1)
  back.send('ADDED', slice('b', 30, '10.1.0.2'))
  await expect.poll(() => workersOf(told)).toEqual(['10.1.0.1:50051', '10.1.0.2:50051'])
})

test('an API server that is not there yet is waited for', async () => {
  const gone = await startApi(() => [])
  await gone.close()
  const told = await watch(gone)
  await startApi(() => [slice('a', 1, '10.1.0.1')], gone.port)
  await expect.poll(() => workersOf(told), { timeout: 10_000 }).toEqual(['10.1.0.1:50051'])
})
