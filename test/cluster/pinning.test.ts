import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../support/platform.ts'
import { apply, kubectl, listObjects } from './cluster.ts'
import { full, install, type Installation } from './installation.ts'

/** Nodes that are no machines: the scheduler takes them for such, so it shows where pods would run. */
const nodes = [
  { name: 'gpu-1', labels: { 'gpu.example.org/model': 'h100' }, taints: [{ key: 'nvidia.com/gpu', effect: 'NoSchedule' }], resources: { 'nvidia.com/gpu': '2' } },
  { name: 'gpu-2', labels: { 'gpu.example.org/model': 'a100' }, taints: [{ key: 'nvidia.com/gpu', effect: 'NoSchedule' }], resources: { 'nvidia.com/mig-3g.40gb': '2' } },
  { name: 'gpu-3', labels: { 'gpu.example.org/model': 'mi300x' }, taints: [], resources: { 'amd.com/gpu': '1' } },
]
const nodeNames = new Set(['node', ...nodes.map(({ name }) => name)])
let heart: NodeJS.Timeout
let installation: Installation | undefined

beforeAll(async () => {
  await apply(...nodes.map(({ name, labels, taints }) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...labels } }, spec: { taints } })))
  await Promise.all(nodes.map(beat))
  heart = setInterval(() => void Promise.all(nodes.map(beat)).catch(() => undefined), 10_000)
  // A node that is new is not used before it has been seen to be ready.
  await until(async () => !(await kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints[*].key}'])).includes('not-ready'), 'the nodes to be ready', 60_000)
})
afterAll(async () => {
  clearInterval(heart)
  // Nobody on these nodes would ever say that its pods have ended.
  await kubectl(['delete', 'namespace', 'pinned', '--ignore-not-found', '--wait=false'])
  await kubectl(['-n', 'pinned', 'delete', 'pods', '--all', '--force', '--grace-period=0', '--ignore-not-found'])
  await installation?.uninstall()
  await kubectl(['delete', 'node', ...nodes.map(({ name }) => name), '--ignore-not-found'])
})

/** What a kubelet tells of its node again and again. */
async function beat({ name, resources }: (typeof nodes)[number]): Promise<void> {
  const amounts = { cpu: '64', memory: '512Gi', pods: '110', 'ephemeral-storage': '100Gi', ...resources }
  const at = new Date().toISOString().replace(/\.\d+/, '')
  const status = { capacity: amounts, allocatable: amounts, conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '', lastHeartbeatTime: at, lastTransitionTime: at }] }
  await kubectl(['patch', 'node', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })])
}

function pool(name: string, more: object): object {
  return {
    name,
    model: { id: name, file: `${name}.gguf`, licence: 'Apache-2.0', contextLength: 1024, openness: { weights: true, code: true, data: true, paper: true } },
    source: { hostPath: '/srv' },
    ...more,
  }
}

const tolerations = [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]

test('workers land on the nodes that their pool is pinned to, as many as there are GPUs, and nowhere else', async () => {
  const pools = [
    pool('whole', { replicas: 3, device: 'cuda', gpu: { resource: 'nvidia.com/gpu' }, tolerations }),
    pool('slice', { replicas: 1, device: 'cuda', gpu: { resource: 'nvidia.com/mig-3g.40gb' }, nodeSelector: { 'gpu.example.org/model': 'a100' }, tolerations }),
    pool('amd', { replicas: 1, device: 'vulkan', gpu: { resource: 'amd.com/gpu' } }),
    pool('cpu', { replicas: 1, nodeSelector: { 'kubernetes.io/hostname': 'node' }, resources: { requests: { cpu: '20m', memory: '64Mi' }, limits: { cpu: '1', memory: '128Mi' } } }),
  ]
  installation = await install({ name: 'pinned', values: { pools, gateway: { nodeSelector: { 'kubernetes.io/hostname': 'node' } }, tokenizer: { nodeSelector: { 'kubernetes.io/hostname': 'node' } }, audit: { nodeSelector: { 'kubernetes.io/hostname': 'node' } } } })
  const where = async (): Promise<Record<string, string[]>> => {
    const found: Record<string, string[]> = {}
    for (const { metadata, spec, status } of (await installation?.pods('inference-worker')) ?? []) {
      const waiting = status.conditions?.find(({ type, reason }) => type === 'PodScheduled' && reason === 'Unschedulable')
      ;(found[metadata.labels?.['intramuros.io/pool'] ?? ''] ??= []).push(spec.nodeName ?? waiting?.message ?? 'not scheduled yet')
    }
    return Object.fromEntries(Object.entries(found).map(([name, at]) => [name, at.toSorted()]))
  }
  // At first they wait for their volumes. The third of one pool wants a GPU that is not there.
  const settled = (at: string): boolean => nodeNames.has(at) || at.includes('Insufficient nvidia.com/gpu')
  await until(async () => Object.values(await where()).flat().filter(settled).length === 6, 'the scheduler', 60_000)
  expect(await where()).toEqual({ whole: [expect.stringContaining('Insufficient nvidia.com/gpu'), 'gpu-1', 'gpu-1'], slice: ['gpu-2'], amd: ['gpu-3'], cpu: ['node'] })
  expect((await listObjects('deployments', 'pinned')).map(({ metadata }) => metadata.name)).toContain(`${full}-worker-whole`)
})

test.each([
  ['a label that no node has', { nodeSelector: { 'gpu.example.org/model': 'b200' } }, /label gpu\.example\.org\/model=b200: 0 of 4 nodes/],
  ['more GPUs than any node has', { gpu: { resource: 'nvidia.com/gpu', count: 4 }, tolerations }, /resource nvidia\.com\/gpu, at least 4: 0 of 4 nodes/],
  ['GPUs behind a taint that it does not tolerate', { gpu: { resource: 'nvidia.com/gpu' } }, /pools\.big can run on 0 of the cluster's 4 nodes/],
])('a pool that asks for %s is refused by the install, which says why', async (_, more, reason) => {
  const attempt = install({ name: 'impossible', values: { pools: [pool('big', { device: 'cuda', ...more })] } })
  await expect(attempt).rejects.toThrow(reason)
  await expect(attempt).rejects.toThrow(/would wait for ever/)
})
