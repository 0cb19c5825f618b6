import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createIdentities, type Identities } from '../support/identities.ts'
import { createNetwork, type NetworkNamespace, type Ran } from '../support/network-namespaces.ts'
import { until } from '../support/platform.ts'

const root = join(import.meta.dirname, '../..')
const cli = join(root, 'services/cli/main.ts')
const listen = join(import.meta.dirname, 'listen.ts')

/** Of the site: somebody outside, a node, and where the API server is. */
export const addresses = { outside: '203.0.113.1', outside6: '2001:db8::1', metadata: '169.254.169.254', node: '192.0.2.10', api: '10.96.0.1' } as const
const pods = ['gateway', 'tokenizer', 'audit', 'worker', 'tokenizer-probe', 'audit-probe', 'worker-probe', 'collector'] as const
type Pod = (typeof pods)[number]
const probes = { 'tokenizer-probe': 'tokenizer', 'audit-probe': 'audit', 'worker-probe': 'inference-worker' } as const

/** Every pod's link in the site; nothing is routed between pods but there. */
const linkOf = (pod: Pod): string => `pod${pods.indexOf(pod)}`
export const addressOf = (pod: Pod): string => `10.244.${pods.indexOf(pod)}.2`

/** Policies as the chart has them: the gateway to its peers and the API server, nobody else anywhere; `deny` says how. */
export function walls(deny: string, ...holes: string[]): Record<'input' | 'forward', string[]> {
  const common = ['ct state established,related accept', 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept', ...holes]
  const peers = (['tokenizer', 'audit', 'worker', ...(Object.keys(probes) as (keyof typeof probes)[])] as const).map(addressOf).join(', ')
  const gateway = `iifname { ${linkOf('gateway')}, ${linkOf('collector')} }`
  const denied = deny.split(';').map((rule) => `iifname "pod*" ${rule.trim()}`)
  return { input: [...common, `${gateway} ip daddr ${addresses.api} tcp dport 6443 accept`, ...denied], forward: [...common, `${gateway} ip daddr { ${peers} } tcp dport 50051 accept`, ...denied] }
}

export const hole = (pod: Pod, rule: string): string => `iifname ${linkOf(pod)} ${rule} accept`

/** A cluster as probes see one: pods in networks of their own behind one router, whose rules are the policies. The audit service is a real one. */
export interface TestCluster {
  site: NetworkNamespace
  home: string
  /** Runs a collector, in a pod for which the gateway's policies hold, and probes; `without` has none. */
  check(options?: { without?: keyof typeof probes; args?: readonly string[] }): Promise<Ran>
  auditMetrics(): Promise<string>
  close(): Promise<void>
}

export async function startCluster(): Promise<TestCluster> {
  const home = await mkdtemp(join(tmpdir(), 'intramuros-cluster-'))
  const identities = await createIdentities()
  const site = await createNetwork()
  try {
    return await start(site, home, identities)
  } catch (thrown) {
    await site.close()
    await identities.close()
    await rm(home, { recursive: true })
    throw thrown
  }
}

async function start(site: NetworkNamespace, home: string, identities: Identities): Promise<TestCluster> {
  const joined = new Map<Pod, NetworkNamespace>()
  await site.run('sysctl', ['-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv6.icmp.ratelimit=0', 'net.ipv4.icmp_ratelimit=0'])
  const { outside, outside6, metadata, node, api } = addresses
  await site.ip(...[outside, metadata, node, api].map((address) => `addr add ${address}/32 dev lo`), `addr add ${outside6}/128 dev lo nodad`)
  for (const [number, pod] of pods.entries()) {
    const namespace = await site.join(linkOf(pod))
    joined.set(pod, namespace)
    await site.ip(`addr add 10.244.${number}.1/24 dev ${linkOf(pod)}`, `addr add fd00:${number}::1/64 dev ${linkOf(pod)} nodad`)
    await namespace.ip(`addr add ${addressOf(pod)}/24 dev eth0`, `addr add fd00:${number}::2/64 dev eth0 nodad`, `route add default via 10.244.${number}.1`, `route add ::/0 via fd00:${number}::1`)
  }
  const at = (pod: Pod): NetworkNamespace => joined.get(pod) ?? site

  await mkdir(join(home, 'state'), { recursive: true })
  const slices = join(home, 'slices.json')
  await writeFile(slices, JSON.stringify(slicesOf(undefined)))
  const kubeconfig = join(home, 'kubeconfig')
  await writeFile(kubeconfig, JSON.stringify({ clusters: [{ name: 'c', cluster: { server: `http://${api}:6443`, 'insecure-skip-tls-verify': true } }], users: [{ name: 'u', user: {} }], contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }], 'current-context': 'x' }))
  const targets = [`tcp:${outside}:443`, `tcp:${outside}:53`, `dns:${outside}:53`, `tcp:[${outside6}]:443`, `dns:[${outside6}]:53`, `ping:${outside}`, `tcp:${metadata}:80`]
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_'))),
    INTRAMUROS_HOME: join(home, 'state'),
    INTRAMUROS_TLS_FOLDER: identities.folder,
    INTRAMUROS_METRICS_HOST: '0.0.0.0',
    INTRAMUROS_ISOLATION_OUTSIDE: targets.join(','),
    INTRAMUROS_GATEWAY_KUBERNETES_NAMESPACE: 'walls',
    INTRAMUROS_GATEWAY_KUBERNETES_SELECTOR: 'app.kubernetes.io/instance=llm',
    INTRAMUROS_TOKENIZER_LISTEN: '0.0.0.0:50051',
    INTRAMUROS_AUDIT_LISTEN: '0.0.0.0:50051',
    INTRAMUROS_INFERENCE_WORKER_LISTEN: '0.0.0.0:50051',
  }

  await Promise.all([
    said(site.start(process.execPath, [listen, 'tcp:443', 'tcp:53', 'udp:53', 'tcp:80', 'tcp:10250', `http:6443:${slices}`]), 'listening'),
    said(at('tokenizer').start(process.execPath, [listen, 'tcp:50051', 'tcp:9462']), 'listening'),
    said(at('worker').start(process.execPath, [listen, 'tcp:50051', 'tcp:9463']), 'listening'),
    said(at('gateway').start(process.execPath, [listen, 'tcp:8443', 'tcp:9464']), 'listening'),
  ])
  const audit = at('audit').start(process.execPath, [join(root, 'services/audit/main.ts')], { env })
  audit.stderr?.resume()
  audit.stdout?.resume()
  await until(async () => (await auditMetrics().catch(() => '')).includes('intramuros_isolation_violations'), 'the audit service')

  async function auditMetrics(): Promise<string> {
    const { out } = await at('audit').run(process.execPath, ['-e', 'fetch("http://127.0.0.1:9461/metrics").then(async (r) => process.stdout.write(await r.text()))'])
    return out
  }

  return {
    site,
    home,
    auditMetrics,
    async check({ without, args = [] } = {}) {
      await writeFile(slices, JSON.stringify(slicesOf(without)))
      const started = (Object.entries(probes) as [keyof typeof probes, string][])
        .filter(([pod]) => pod !== without)
        .map(async ([pod, component]) => {
          const child = at(pod).start(process.execPath, [cli, 'probe', 'serve', '--component', component, '--node', node, '--limit', '60'], { env })
          const ended = once(child, 'exit')
          await said(child, 'waiting on port')
          return { child, ended }
        })
      const children = await Promise.all(started)
      const wait = without === undefined ? '20' : '0'
      const ran = await at('collector').run(process.execPath, [cli, 'probe', 'collect', '--kubeconfig', kubeconfig, '--node', node, '--wait', wait, '--timeout', '1500', ...args], { env, timeoutMs: 60_000 })
      for (const { child, ended } of children) {
        // Those that were asked end by themselves.
        const limit = setTimeout(() => child.kill('SIGKILL'), 10_000)
        await ended
        clearTimeout(limit)
      }
      return ran
    },
    async close() {
      await site.close()
      await identities.close()
      await rm(home, { recursive: true })
    },
  }
}

/** Waits until a program has said something. */
function said(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const hear = (chunk: Buffer): void => {
      heard += chunk.toString()
      if (heard.includes(words)) resolve()
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', () => reject(new Error(`it ended before it said "${words}":\n${heard}`)))
  })
}

/** What the API server answers: the Services of the chart, as their EndpointSlices tell of them. */
function slicesOf(without: Pod | undefined): object {
  const slice = (name: string, labels: object, pod: Pod, ports: object[]): object => ({
    metadata: { name, namespace: 'walls', labels: { 'app.kubernetes.io/instance': 'llm', ...labels } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [addressOf(pod)], conditions: { ready: true }, targetRef: { kind: 'Pod', name: pod } }],
    ports,
  })
  const grpc = [{ name: 'grpc', port: 50_051, protocol: 'TCP' }]
  const component = (name: string): object => ({ 'app.kubernetes.io/component': name })
  const items = [
    slice('gateway', component('gateway'), 'gateway', [{ name: 'https', port: 8443, protocol: 'TCP' }]),
    slice('tokenizer', component('tokenizer'), 'tokenizer', grpc),
    slice('audit', component('audit'), 'audit', grpc),
    slice('worker', component('inference-worker'), 'worker', grpc),
    ...(Object.entries(probes) as [keyof typeof probes, string][])
      .filter(([pod]) => pod !== without)
      .map(([pod, of]) => slice(pod, { ...component('isolation-probe'), 'intramuros.io/probe-of': of }, pod, grpc)),
  ]
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSliceList', metadata: { resourceVersion: '1' }, items }
}
