import { X509Certificate } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { type Manifest, type Policy, render } from './helm.ts'
import { type Objects, startScriptedCluster } from './scripted-cluster.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function inCluster(objects: Objects, setJson: readonly string[] = []): Promise<Manifest[]> {
  const cluster = await startScriptedCluster(objects)
  closing.push(() => cluster.close())
  return render({ scenario: 'single-node', setJson, kubeconfig: cluster.kubeconfig })
}

function nodes(...items: { labels?: Record<string, string>; allocatable?: Record<string, string>; taints?: object[] }[]): Objects {
  return { '/api/v1/nodes': { kind: 'NodeList', apiVersion: 'v1', items: items.map(({ labels = {}, allocatable = {}, taints = [] }, index) => ({ metadata: { name: `n${index}`, labels }, spec: { taints }, status: { allocatable } })) } }
}

const gpuTaint = { key: 'nvidia.com/gpu', effect: 'NoSchedule' }
const wanting = [
  'pools[0].gpu={"resource":"nvidia.com/mig-3g.40gb","count":2}',
  'pools[0].nodeSelector={"zone":"a"}',
  'pools[0].tolerations=[{"key":"nvidia.com/gpu","operator":"Exists"}]',
  'pools[0].affinity={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"product","operator":"In","values":["H100","H200"]}]}]}}}',
]
const good = { labels: { zone: 'a', product: 'H200' }, allocatable: { 'nvidia.com/mig-3g.40gb': '2' }, taints: [gpuTaint] }

test('a pool that one of the nodes can run is let through', async () => {
  expect((await inCluster(nodes({}, good), wanting)).length).toBeGreaterThan(10)
})

test.each([
  ['label', { ...good, labels: { product: 'H200', zone: 'b' } }, /label zone=a: 0 of 2 nodes/],
  ['resource', { ...good, allocatable: { 'nvidia.com/mig-3g.40gb': '1' } }, /resource nvidia\.com\/mig-3g\.40gb, at least 2: 0 of 2 nodes/],
  ['affinity', { ...good, labels: { zone: 'a', product: 'A100' } }, /the required node affinity: 0 of 2 nodes/],
  ['taint', { ...good, taints: [gpuTaint, { key: 'team', value: 'other', effect: 'NoExecute' }] }, /taints that the pool tolerates: 1 of 2 nodes/],
])('a pool whose %s no node meets is refused, with the reason', async (_, node, message) => {
  await expect(inCluster(nodes({ labels: { zone: 'c' } }, node), wanting)).rejects.toThrow(message)
})

test('requirements that are met only by different nodes are refused, unless the check is off', async () => {
  const apart = nodes({ ...good, labels: {} }, { ...good, allocatable: {} })
  await expect(inCluster(apart, wanting)).rejects.toThrow(/pools\.small can run on 0 of the cluster's 2 nodes/)
  expect((await inCluster(apart, [...wanting, 'pinning={"check":false}'])).length).toBeGreaterThan(10)
})

test("the API server's addresses are found, and nothing wider", async () => {
  const made = await inCluster(
    {
      '/api/v1/namespaces/default/services/kubernetes': { kind: 'Service', apiVersion: 'v1', metadata: { name: 'kubernetes' }, spec: { clusterIP: '10.96.0.1', clusterIPs: ['10.96.0.1'], ports: [{ port: 443 }] } },
      '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices': {
        kind: 'EndpointSliceList',
        apiVersion: 'discovery.k8s.io/v1',
        items: [
          { metadata: { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } }, endpoints: [{ addresses: ['10.0.0.5'] }, { addresses: ['10.0.0.6'] }], ports: [{ port: 6443 }] },
          { metadata: { name: 'other', labels: { 'kubernetes.io/service-name': 'other' } }, endpoints: [{ addresses: ['10.9.9.9'] }], ports: [{ port: 80 }] },
        ],
      },
    },
    ['walls.apiServer={"cidrs":[]}'],
  )
  const policy = made.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'llm-intramuros-gateway')?.spec as unknown as Policy
  expect(policy.egress?.[1]).toEqual({
    to: ['10.96.0.1/32', '10.0.0.5/32', '10.0.0.6/32'].map((cidr) => ({ ipBlock: { cidr } })),
    ports: [443, 6443].map((port) => ({ protocol: 'TCP', port })),
  })
  expect(JSON.stringify(made)).toContain('api-server=tcp:10.0.0.6:6443')
})

interface Secret {
  metadata: { name: string; annotations?: Record<string, string> }
  data: Record<string, string>
}

function secretsOf(manifests: readonly Manifest[]): Map<string, Secret> {
  return new Map(manifests.filter(({ kind }) => kind === 'Secret').map((secret) => [secret.metadata.name, secret as unknown as Secret]))
}

function stored(secrets: ReadonlyMap<string, Secret>): Objects {
  return Object.fromEntries([...secrets].map(([name, secret]) => [`/api/v1/namespaces/llm/secrets/${name}`, { ...secret, kind: 'Secret', apiVersion: 'v1' }]))
}

test('CA and certificates stay over upgrades; one past a third of its life, or for other names, is made anew by the same CA', async () => {
  const first = secretsOf(await inCluster({}))
  expect(first.size).toBe(7)
  expect(secretsOf(await inCluster(stored(first)))).toEqual(first)

  const old = first.get('llm-intramuros-tls-audit')
  const aged = new Map([...first, ['llm-intramuros-tls-audit', { ...old, metadata: { ...old?.metadata, annotations: { ...old?.metadata.annotations, 'intramuros.io/issued': String(Math.round(Date.now() / 1000) - 122 * 86_400) } } } as Secret]])
  const second = secretsOf(await inCluster(stored(aged), ['gateway.names=["other.example.org"]']))
  const changed = [...second].flatMap(([name, { data }]) => (data['tls.crt'] === first.get(name)?.data['tls.crt'] ? [] : [name]))
  expect(changed.toSorted()).toEqual(['llm-intramuros-tls-audit', 'llm-intramuros-tls-https'])
  const ca = certificate(first.get('llm-intramuros-helm-ca'))
  for (const name of changed) {
    expect(certificate(second.get(name)).verify(ca.publicKey)).toBe(true)
    expect(second.get(name)?.data['ca.crt']).toBe(first.get('llm-intramuros-helm-ca')?.data['tls.crt'])
  }
  expect(certificate(second.get('llm-intramuros-tls-audit')).subjectAltName).toBe('DNS:audit.intramuros.internal')
  expect(certificate(second.get('llm-intramuros-tls-https')).subjectAltName).toContain('other.example.org')
})

function certificate(secret: Secret | undefined): X509Certificate {
  return new X509Certificate(Buffer.from(secret?.data['tls.crt'] ?? '', 'base64'))
}
