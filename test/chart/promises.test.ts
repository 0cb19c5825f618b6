import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../services/shared/config/load.ts'
import { type Manifest, lint, podsOf, type Policy, render } from './helm.ts'

const scenarios = (await readdir(join(import.meta.dirname, '../../charts/intramuros/ci'))).map((name) => name.replace('-values.yaml', '')).toSorted()

function policies(manifests: readonly Manifest[]): Policy[] {
  return manifests.filter(({ kind }) => kind === 'NetworkPolicy').map(({ spec }) => spec as unknown as Policy)
}

function selects({ podSelector }: Policy, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(podSelector.matchLabels ?? {}).every(([name, value]) => labels[name] === value)
}

/** Names of the policies that hold for pods with these labels. */
function policiesOf(manifests: readonly Manifest[], labels: Readonly<Record<string, string>>): string[] {
  const found = manifests.filter(({ kind, spec }) => kind === 'NetworkPolicy' && selects(spec as unknown as Policy, labels))
  return found.map(({ metadata }) => metadata.name).toSorted()
}

/** Pods of services, and loaders, that no pod of the isolation check stands for: none has exactly their policies. */
function unprobed(manifests: readonly Manifest[]): string[] {
  const pods = podsOf(manifests)
  const isCheck = ({ of }: { of: string }): boolean => manifests.some(({ kind, metadata }) => kind === 'CronJob' && metadata.name === of)
  const checked = new Set(pods.filter(isCheck).map(({ metadata }) => policiesOf(manifests, metadata.labels).join(' ')))
  return pods.filter((pod) => !isCheck(pod) && pod.metadata.labels['app.kubernetes.io/component'] !== 'test' && !checked.has(policiesOf(manifests, pod.metadata.labels).join(' '))).map(({ of }) => of)
}

/** Where pods with these labels may go: component or CIDR. */
function waysOut(manifests: readonly Manifest[], labels: Readonly<Record<string, string>>): string[] {
  const found = policies(manifests).filter((policy) => selects(policy, labels))
  const peers = found.flatMap(({ egress = [] }) => egress.flatMap(({ to }) => to ?? [{ ipBlock: { cidr: 'anywhere' } }]))
  return peers.map(({ podSelector, ipBlock }) => ipBlock?.cidr ?? `${podSelector?.matchLabels['app.kubernetes.io/component'] ?? 'any pod'}${podSelector?.matchLabels['intramuros.io/pool'] === undefined ? '' : ' of its pool'}`).toSorted()
}

test('all scenarios of the issue are there', () => {
  expect(scenarios).toEqual(['air-gapped', 'gpu-pools', 'mig', 'postgres', 'single-node', 'vllm-two-nodes'])
})

describe.each(scenarios)('scenario %s', (scenario) => {
  let manifests: Manifest[] = []
  let folder = ''
  beforeAll(async () => {
    manifests = await render({ scenario })
    folder = await mkdtemp(join(tmpdir(), 'chart-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('passes the linter, strictly', async () => {
    expect(await lint(scenario)).toContain('0 chart(s) failed')
  })

  test('every pod keeps to the restricted standard, without swap-able privileges, host namespaces or host paths', () => {
    const pods = podsOf(manifests)
    expect(pods.length).toBeGreaterThan(8)
    for (const { of, spec } of pods) {
      expect(spec.securityContext, of).toMatchObject({ runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } })
      expect(spec.hostNetwork, of).toBeUndefined()
      expect(JSON.stringify(spec.volumes), of).not.toContain('hostPath')
      for (const container of spec.containers) {
        expect(container.securityContext, `${of} ${container.name}`).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, privileged: false, capabilities: { drop: ['ALL'] } })
        expect(Object.keys(container.resources?.['limits'] ?? {}), `${of} ${container.name}`).toEqual(expect.arrayContaining(['cpu', 'memory']))
        for (const { mountPath, readOnly } of container.volumeMounts ?? []) if (/^\/(models\/|weights|etc)/.test(mountPath) && !of.includes('-loader-')) expect(readOnly, `${of} ${mountPath}`).toBe(true)
      }
    }
  })

  test('nodes that let pods swap put nothing of a service on their disks', () => {
    const services = podsOf(manifests).filter(({ of }) => /-(gateway|tokenizer|audit|worker-[a-z0-9-]+)$/.test(of) && !of.includes('-probe-'))
    expect(services.length).toBeGreaterThan(3)
    // The kubelet gives no swap to a container whose memory has its limit as request.
    for (const { of, spec } of services) for (const { name, resources } of spec.containers) expect(resources?.['requests']?.['memory'], `${of} ${name}`).toBe(resources?.['limits']?.['memory'])
  })

  test('no pod has a name server, and none but the gateway a token', () => {
    for (const { of, spec, metadata } of podsOf(manifests)) {
      expect(spec.dnsPolicy, of).toBe('None')
      expect(spec.dnsConfig?.nameservers, of).toEqual(['127.0.0.1'])
      const isGateway = metadata.labels['app.kubernetes.io/component'] === 'gateway'
      expect(spec.automountServiceAccountToken, of).toBe(isGateway)
      expect(spec.serviceAccountName, of).toBe(isGateway ? 'llm-intramuros-gateway' : undefined)
    }
    const roles = manifests.filter(({ kind }) => kind.endsWith('Role'))
    expect(roles.map(({ kind, rules }) => ({ kind, rules }))).toEqual([{ kind: 'Role', rules: [{ apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] }] }])
  })

  test('all is denied but what is named: workers and tokenizers have no way out', () => {
    const denial = policies(manifests).find(({ podSelector }) => Object.keys(podSelector).length === 0)
    expect(denial).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
    for (const policy of policies(manifests)) expect(policy.policyTypes).toEqual(['Ingress', 'Egress'])
    for (const { of, metadata } of podsOf(manifests)) {
      const component = metadata.labels['app.kubernetes.io/component']
      const out = waysOut(manifests, metadata.labels)
      if (component === 'tokenizer') expect(out, of).toEqual([])
      if (component === 'inference-worker') expect(out, of).toEqual(scenario === 'vllm-two-nodes' ? ['inference-worker of its pool'] : [])
      if (component === 'test') expect(out, of).toEqual(['gateway'])
      if (component === 'audit') expect(out, of).toEqual(scenario === 'postgres' ? ['10.40.0.3/32', '10.40.0.4/32'] : scenario === 'air-gapped' ? ['10.30.0.9/32'] : [])
      if (component === 'model-loader') expect(out, of).toEqual(['10.30.0.7/32'])
      if (component === 'gateway') expect(out.filter((peer) => !peer.startsWith('10.')), of).toEqual(['audit', 'inference-worker', 'tokenizer'])
    }
  })

  test('the isolation check has a pod for each set of policies that holds for a service', () => {
    // A loader ends when the model is there, and may reach its mirror; it never sees a prompt.
    expect(unprobed(manifests).filter((of) => !of.includes('-loader-'))).toEqual([])
  })

  test('the services are let in by the gateway alone, on one port', () => {
    for (const component of ['tokenizer', 'audit', 'inference-worker']) {
      const policy = policies(manifests).find(({ podSelector: { matchLabels } }) => matchLabels?.['app.kubernetes.io/component'] === component && matchLabels['intramuros.io/pool'] === undefined)
      const [first, ...others] = policy?.ingress ?? []
      expect(first?.ports, component).toEqual([{ protocol: 'TCP', port: 50_051 }])
      expect(JSON.stringify(first?.from), component).toContain('"app.kubernetes.io/component":"gateway"')
      expect(others, component).toHaveLength(scenario === 'gpu-pools' ? 1 : 0)
    }
  })

  test('services take the configuration that they are given', async () => {
    const configs = manifests.filter(({ kind, data }) => kind === 'ConfigMap' && data?.['intramuros.yaml'] !== undefined)
    expect(configs.length).toBeGreaterThan(1)
    for (const { metadata, data } of configs) {
      const file = join(folder, 'intramuros.yaml')
      await writeFile(file, data?.['intramuros.yaml'] ?? '')
      expect(() => loadConfig({ env: { INTRAMUROS_HOME: folder }, file }), metadata.name).not.toThrow()
    }
  })

  test('gateways find Services by labels, and probes and further pods of a group are not among their endpoints', () => {
    for (const component of ['tokenizer', 'audit', 'inference-worker']) {
      const found = manifests.filter(({ kind, metadata }) => kind === 'Service' && metadata.labels?.['app.kubernetes.io/component'] === component)
      expect(found.map(({ spec }) => spec), component).toEqual([
        expect.objectContaining({ clusterIP: 'None', ports: [expect.objectContaining({ name: 'grpc', port: 50_051 })], selector: expect.objectContaining({ 'intramuros.io/serving': 'true' }) as unknown }),
      ])
    }
    const serving = podsOf(manifests).filter(({ metadata }) => metadata.labels['intramuros.io/serving'] === 'true')
    for (const { of } of serving) expect(of).toMatch(/-(gateway|tokenizer|audit|worker-[a-z0-9-]+)$/)
    expect(serving.some(({ of }) => of.includes('probe') || of.includes('test'))).toBe(false)
  })
})

test('the isolation check also has a pod for a pool over several nodes, wherever it stands, and one for all others', async () => {
  const small = { name: 'small', model: { id: 'small', file: 'small.gguf', sha256: 'a'.repeat(64), licence: 'MIT', contextLength: 2048, openness: { weights: true, code: true, data: true, paper: true } }, source: { claim: 'models' } }
  const pools = [small, { ...small, name: 'other' }].map((pool, index) => `pools[${index + 1}]=${JSON.stringify(pool)}`)
  const made = await render({ scenario: 'vllm-two-nodes', setJson: pools })
  expect(unprobed(made)).toEqual([])
  const probes = podsOf(made).filter(({ metadata: { labels } }) => labels['intramuros.io/probe'] === 'true' && labels['app.kubernetes.io/component'] === 'inference-worker')
  expect(probes.map(({ metadata }) => metadata.labels['intramuros.io/pool'])).toEqual(['small', 'giant'])
  // It would be noticed.
  expect(unprobed(made.filter(({ kind, metadata }) => kind !== 'CronJob' || !metadata.name.includes('-probe-')))).toContain('llm-intramuros-worker-other')
})
