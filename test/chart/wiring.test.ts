import { expect, test } from 'vitest'
import { type Manifest, podsOf, type Policy, render } from './helm.ts'

function named(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name === `llm-intramuros-${name}`)
  if (found === undefined) throw new Error(`There is no ${kind} ${name}: ${manifests.map((one) => `${one.kind} ${one.metadata.name}`).join(', ')}`)
  return found
}

test('GPU pools: resources, nodes, scaling, and the scraper alone reads metrics', async () => {
  const made = await render({ scenario: 'gpu-pools' })
  const chat = named(made, 'Deployment', 'worker-chat')
  expect(chat.spec['replicas']).toBeUndefined()
  expect(chat.spec['strategy']).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } })
  expect(chat.spec.template?.spec).toMatchObject({
    nodeSelector: { 'nvidia.com/gpu.product': 'NVIDIA-H100-80GB-HBM3' },
    tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
    runtimeClassName: 'nvidia',
    priorityClassName: 'interactive',
    containers: [{ image: 'localhost/intramuros/worker-cuda:0.1.0', resources: { requests: { 'nvidia.com/gpu': '1', memory: '32Gi' }, limits: { 'nvidia.com/gpu': '1' } } }],
    topologySpreadConstraints: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { 'intramuros.io/pool': 'chat' } } }],
  })
  expect(named(made, 'ScaledObject', 'worker-chat').spec).toMatchObject({ minReplicaCount: 2, maxReplicaCount: 6, scaleTargetRef: { name: 'llm-intramuros-worker-chat' } })
  expect(JSON.stringify(named(made, 'HorizontalPodAutoscaler', 'worker-embed').spec)).toContain('intramuros_worker_queued_requests')
  expect(named(made, 'HorizontalPodAutoscaler', 'gateway').spec).toMatchObject({ minReplicas: 2, maxReplicas: 6 })
  expect(JSON.stringify(named(made, 'Deployment', 'worker-embed').spec.template?.spec.volumes)).toContain('"image":{"reference":"registry.example.org/models/bge-m3@sha256:')
  expect((named(made, 'NetworkPolicy', 'inference-worker').spec as unknown as Policy).ingress?.[1]).toEqual({
    from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
    ports: [{ protocol: 'TCP', port: 9463 }],
  })
  for (const name of ['gateway', 'tokenizer', 'worker-chat', 'worker-embed']) expect(named(made, 'PodDisruptionBudget', name).spec).toMatchObject({ maxUnavailable: 1 })
})

test.each([['tokensInFlight=2000000', '2000000'], ['tokensInFlight=0', undefined]])('pools scale on the queue, slots and tokens in flight: %s', async (set, threshold) => {
  const made = await render({ scenario: 'gpu-pools', set: [`poolDefaults.autoscaling.${set}`] })
  const byHpa = named(made, 'HorizontalPodAutoscaler', 'worker-embed').spec['metrics'] as { pods: { metric: { name: string }; target: { averageValue: string } } }[]
  const byKeda = named(made, 'ScaledObject', 'worker-chat').spec['triggers'] as { metadata: { query: string; threshold: string } }[]
  const tokens = threshold === undefined ? [] : [['intramuros_worker_tokens_in_flight', threshold]]
  const wanted = [['intramuros_worker_queued_requests', '4'], ['intramuros_worker_busy_slots', '3'], ...tokens]
  expect(byHpa.map(({ pods }) => [pods.metric.name, pods.target.averageValue])).toEqual(wanted)
  expect(byKeda.map(({ metadata }) => [/^sum\((\w+)\{/.exec(metadata.query)?.[1], metadata.threshold])).toEqual(wanted)
})

test('MIG: a slice as a resource, a slice as a claim; certificates by cert-manager; a TLSRoute', async () => {
  const made = await render({ scenario: 'mig', apis: ['gateway.networking.k8s.io/v1alpha3/TLSRoute'] })
  expect(named(made, 'Deployment', 'worker-large').spec.template?.spec.containers[0]?.resources?.['limits']).toMatchObject({ 'nvidia.com/mig-3g.40gb': '1' })
  const small = named(made, 'Deployment', 'worker-small').spec.template?.spec
  expect(small).toMatchObject({ resourceClaims: [{ name: 'slice', resourceClaimTemplateName: 'mig-1g-10gb' }], containers: [{ resources: { claims: [{ name: 'slice' }] } }] })
  expect(made.filter(({ kind }) => kind === 'Secret')).toEqual([])
  const leaves = made.filter(({ kind, spec }) => kind === 'Certificate' && spec['isCA'] !== true)
  const usages = Object.fromEntries(leaves.map(({ spec }): [string, unknown[]] => [String(spec['secretName']), [spec['dnsNames'], spec['usages']]]))
  expect(usages).toMatchObject({
    'llm-intramuros-tls-gateway': [['gateway.intramuros.internal'], ['digital signature', 'server auth', 'client auth']],
    'llm-intramuros-tls-cli': [['cli.intramuros.internal'], ['digital signature', 'client auth']],
    'llm-intramuros-tls-https': [expect.arrayContaining(['llm.example.org']), ['digital signature', 'server auth']],
  })
  expect(named(made, 'TLSRoute', 'gateway')).toMatchObject({ apiVersion: 'gateway.networking.k8s.io/v1alpha3', spec: { hostnames: ['llm.example.org'], rules: [{ backendRefs: [{ name: 'llm-intramuros-gateway', port: 443 }] }] } })
})

test('tls.mode auto takes cert-manager where the cluster has it', async () => {
  const kinds = async (apis: string[]): Promise<string[]> => (await render({ scenario: 'single-node', apis })).map(({ kind }) => kind)
  expect(await kinds(['cert-manager.io/v1'])).toContain('Certificate')
  expect(await kinds([])).not.toContain('Certificate')
})

test('air-gapped: digests, the private registry, the loader alone reaches the mirror by a name without DNS', async () => {
  const made = await render({ scenario: 'air-gapped' })
  const gateway = named(made, 'Deployment', 'gateway').spec.template?.spec
  expect(gateway).toMatchObject({ imagePullSecrets: [{ name: 'registry' }], hostAliases: [{ ip: '10.30.0.8', hostnames: ['sso.corp.example'] }] })
  expect(gateway?.containers[0]?.image).toBe(`registry.corp.example/intramuros/gateway@sha256:${'6'.repeat(64)}`)
  for (const { spec, of } of podsOf(made)) for (const { image } of spec.containers) expect(image, of).toMatch(/^registry\.corp\.example\/intramuros\//)
  const loaders = podsOf(made).filter(({ metadata }) => metadata.labels['app.kubernetes.io/component'] === 'model-loader')
  expect(loaders.map(({ spec }) => spec)).toMatchObject([{ hostAliases: [{ ip: '10.30.0.7', hostnames: ['hub.corp.example'] }], containers: [{ args: ['models', 'pull', 'smollm2-135m-instruct'] }] }])
  // Where the loader puts it is where workers look.
  expect(named(made, 'ConfigMap', 'worker-chat').data?.['intramuros.yaml']).toContain('path: /models/chat/models/b179c9523d0e-SmolLM2-135M-Instruct.Q4_1.gguf')
  expect(named(made, 'Ingress', 'gateway').metadata.annotations).toMatchObject({ 'nginx.ingress.kubernetes.io/ssl-passthrough': 'true' })
})

test('PostgreSQL: two audit services that start side by side, with the password, CA and key of Secrets; encrypted models in memory', async () => {
  const made = await render({ scenario: 'postgres' })
  const { spec } = named(made, 'StatefulSet', 'audit')
  expect(spec).toMatchObject({ replicas: 2, podManagementPolicy: 'Parallel', updateStrategy: { type: 'OnDelete' } })
  // One that stands by is never ready: a budget would never let the other one go.
  expect(made.filter(({ kind, metadata }) => kind === 'PodDisruptionBudget' && metadata.name.endsWith('audit'))).toEqual([])
  expect(spec.template?.spec.hostAliases).toEqual(['10.40.0.3', '10.40.0.4'].map((ip) => ({ ip, hostnames: ['db.example.org'] })))
  const config = named(made, 'ConfigMap', 'config').data?.['intramuros.yaml']
  expect(config).toContain('url: postgres://intramuros_writer@db.example.org:5432/audit')
  expect(config).toContain('keyFile: /etc/intramuros/audit-key/log.key')
  expect((named(made, 'NetworkPolicy', 'audit').spec as unknown as Policy).egress?.map(({ ports }) => ports)).toEqual([[{ protocol: 'TCP', port: 5432 }], [{ protocol: 'TCP', port: 5432 }]])
  for (const name of ['worker-chat', 'tokenizer']) expect(JSON.stringify(named(made, 'Deployment', name).spec.template?.spec.volumes)).toContain('{"name":"memory","emptyDir":{"medium":"Memory","sizeLimit":"1Gi"}}')
})

test('vLLM over two nodes: the first pod serves, the second finds it without DNS, and gateways see only the first', async () => {
  const made = await render({ scenario: 'vllm-two-nodes' })
  const { spec } = named(made, 'LeaderWorkerSet', 'worker-giant-0')
  const group = spec.leaderWorkerTemplate
  expect(group).toMatchObject({ size: 2, restartPolicy: 'RecreateGroupOnPodRestart' })
  expect(group?.leaderTemplate.spec.containers.map(({ name }) => name)).toEqual(['worker', 'server'])
  expect(group?.leaderTemplate.spec.containers.map(({ resources }) => resources?.['limits']?.['nvidia.com/gpu'])).toEqual([undefined, '8'])
  expect(group?.workerTemplate.metadata.labels['intramuros.io/serving']).toBeUndefined()
  expect(group?.workerTemplate.spec.containers[0]?.env).toContainEqual({ name: 'LEADER_ADDRESS', value: '$(LLM_INTRAMUROS_WORKER_GIANT_0_LEADER_SERVICE_HOST)' })
  expect(named(made, 'Service', 'worker-giant-0-leader').spec).toMatchObject({ publishNotReadyAddresses: true, ports: [{ port: 6379 }], selector: { 'intramuros.io/serving': 'true', 'intramuros.io/group': 'llm-intramuros-worker-giant-0' } })
  expect(JSON.stringify(named(made, 'CronJob', 'collector').spec)).toContain('--workers-meet')
  expect(made.filter(({ kind, metadata }) => kind === 'Deployment' && metadata.name.includes('giant'))).toEqual([])
})

test('isolation checks: a CronJob for each component and a collector, by the labels that the check looks for', async () => {
  const made = await render({ scenario: 'single-node', set: ['isolation.check.targets={cluster-dns=dns:10.96.0.10:53}'] })
  const jobs = made.filter(({ kind }) => kind === 'CronJob')
  expect(jobs.map(({ metadata }) => metadata.labels?.['intramuros.io/isolation'] ?? '').toSorted()).toEqual(['collector', 'probe', 'probe', 'probe'])
  for (const { metadata, spec } of jobs) {
    expect(metadata.name.length, metadata.name).toBeLessThanOrEqual(52)
    expect(spec).toMatchObject({ schedule: '17 3 * * *', concurrencyPolicy: 'Forbid', jobTemplate: { spec: { backoffLimit: 0, activeDeadlineSeconds: 900, template: { spec: { restartPolicy: 'Never' } } } } })
  }
  const collector = named(made, 'CronJob', 'collector').spec.jobTemplate?.spec.template.spec.containers[0]
  expect(collector?.args).toEqual(['probe', 'collect', '--target', 'cluster-dns=dns:10.96.0.10:53', '--node', '$(NODE_IP)'])
  for (const component of ['tokenizer', 'audit', 'inference-worker']) {
    const { metadata, spec } = named(made, 'Service', `probe-${component}`)
    expect(metadata.labels?.['intramuros.io/probe-of']).toBe(component)
    expect(spec).toMatchObject({ publishNotReadyAddresses: true, clusterIP: 'None', selector: { 'intramuros.io/probe': 'true', 'app.kubernetes.io/component': component } })
  }
})

test('IPv6: services listen on it, and names are asked of its loopback', async () => {
  const made = await render({ scenario: 'single-node', set: ['network.family=IPv6', 'walls.apiServer.cidrs={fd00::5/128}'] })
  const worker = named(made, 'Deployment', 'worker-small').spec.template?.spec
  expect(worker?.dnsConfig?.nameservers).toEqual(['::1'])
  expect(worker?.containers[0]?.env).toContainEqual({ name: 'INTRAMUROS_INFERENCE_WORKER_LISTEN', value: '[::]:50051' })
  expect(JSON.stringify(made)).toContain('"cidr":"fd00::5/128"')
})

test('settings of config reach all services, beside those that the chart makes', async () => {
  const made = await render({ scenario: 'single-node', set: ['config.gateway.maxQueued=7', 'config.prices.currency=EUR', 'config.audit.contentDays=3'] })
  for (const name of ['config', 'worker-small']) {
    const text = named(made, 'ConfigMap', name).data?.['intramuros.yaml']
    for (const line of ['maxQueued: 7', 'currency: EUR', 'contentDays: 3', 'directory: audit']) expect(text).toContain(line)
  }
})
