import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ScriptedCluster {
  kubeconfig: string
  close(): Promise<void>
}

/** What is in it: objects and lists by the path that the API serves them at. */
export type Objects = Readonly<Record<string, unknown>>

/** An API server of which only so much is there as Helm's `lookup` asks for: which kinds there are, and what the test says. The real one is asked in test/cluster. */
export async function startScriptedCluster(objects: Objects): Promise<ScriptedCluster> {
  const answers: Objects = {
    '/version': { major: '1', minor: '34', gitVersion: 'v1.34.0' },
    '/api': { kind: 'APIVersions', versions: ['v1'] },
    '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: ['discovery.k8s.io'].map((name) => ({ name, versions: [{ groupVersion: `${name}/v1`, version: 'v1' }], preferredVersion: { groupVersion: `${name}/v1`, version: 'v1' } })) },
    '/api/v1': resources('v1', { Node: false, Service: true, Secret: true }),
    '/apis/discovery.k8s.io/v1': resources('discovery.k8s.io/v1', { EndpointSlice: true }),
    ...objects,
  }
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://api').pathname
    const found = answers[path]
    response.setHeader('content-type', 'application/json')
    response.statusCode = found === undefined ? 404 : 200
    response.end(JSON.stringify(found ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const folder = await mkdtemp(join(tmpdir(), 'scripted-cluster-'))
  const kubeconfig = join(folder, 'config')
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  )
  return {
    kubeconfig,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
      await rm(folder, { recursive: true })
    },
  }
}

function resources(groupVersion: string, kinds: Readonly<Record<string, boolean>>): object {
  const list = Object.entries(kinds).map(([kind, namespaced]) => ({ name: `${kind.toLowerCase()}s`, singularName: '', namespaced, kind, verbs: ['get', 'list'] }))
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: list }
}
