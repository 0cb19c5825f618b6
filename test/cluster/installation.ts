import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Target } from '../support/client.ts'
import { until } from '../support/platform.ts'
import { recordsIn } from '../support/records.ts'
import { runProgram } from '../support/run-program.ts'
import { apply, ended, type Ended, getObject, helm, kubectl, type KubernetesObject, listObjects } from './cluster.ts'

const root = join(import.meta.dirname, '../..')
const chart = join(root, 'charts/intramuros')
const readyMs = 300_000
export const release = 'llm'
export const full = 'llm-intramuros'
export type Component = 'gateway' | 'tokenizer' | 'audit' | 'inference-worker'

export interface InstallOptions {
  /** Of the namespace, and of the volumes. */
  name: string
  /** Beside those that every installation here has. */
  values?: object
  /** The chart's folder or archive; not given: the one of this tree. */
  chart?: string
  /** Audit services, each of which needs volumes; 1. */
  auditServices?: number
  /** Objects in the namespace that the installation needs. */
  objects?: readonly object[]
}

/** An installation of the chart in a namespace of its own, with the small real model, and what a person would do with it. */
export interface Installation {
  namespace: string
  /** What clients need: the gateway's address on the node, the CA, and a key of the team "lab". */
  target: Target
  /** Where the ledger is, seen from this machine. */
  logFolder: string
  /** Values that are merged over those of the installation. Resolves once Helm is done, not when pods are. */
  upgrade(values: object, chart?: string): Promise<void>
  pods(component: Component): Promise<KubernetesObject[]>
  /** Resolves once all pods are there, ready and of the newest version, and no others. */
  ready(): Promise<void>
  cli(...args: string[]): Promise<string>
  records(): Promise<Record<string, unknown>[]>
  /** `intramuros verify isolation` on this machine. */
  verifyIsolation(...args: string[]): Promise<Ended>
  uninstall(): Promise<void>
}

/** Throws an Error with what Helm or Kubernetes said. */
export async function install(options: InstallOptions): Promise<Installation> {
  const { name } = options
  const folder = await mkdtemp(join(tmpdir(), `intramuros-${name}-`))
  try {
    return await installIn(folder, options)
  } catch (thrown) {
    await remove(name, folder)
    throw thrown
  }
}

async function installIn(folder: string, { name, values = {}, chart: from = chart, auditServices = 1, objects = [] }: InstallOptions): Promise<Installation> {
  const model = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
  await makeVolumes(folder, name, model, auditServices)
  if (objects.length > 0) await apply(...objects)
  const address = await nodeAddress()
  const common = commonValues(join(folder, 'models'), basename(model), address)
  const logFolder = join(folder, 'log-0/audit')
  const helmArgs = (action: string[], source: string): string[] => [...action, release, source, '-n', name, '-f', '-']
  await helm(helmArgs(['install'], from), { input: JSON.stringify(merged(common, values)) })
  let current = merged(common, values)

  const installation: Installation = {
    namespace: name,
    target: { url: '', ca: '', key: '', model: modelId },
    logFolder,
    async upgrade(changed, source = chart) {
      current = merged(current, changed)
      await helm(helmArgs(['upgrade'], source), { input: JSON.stringify(current) })
    },
    pods: (component) => listObjects('pods', name, `app.kubernetes.io/component=${component},intramuros.io/serving=true`),
    ready: () => allReady(name),
    cli: (...args) => kubectl(['-n', name, 'exec', `sts/${full}-audit`, '--', 'intramuros', ...args]),
    records: () => recordsIn(logFolder),
    verifyIsolation: (...args) => ended(process.execPath, [join(root, 'services/cli/main.ts'), 'verify', 'isolation', '-n', name, '--timeout', '240', ...args], 300_000),
    uninstall: () => remove(name, folder),
  }
  return installation
}

/** That a pod has. */
export function isReady({ metadata, status }: KubernetesObject): boolean {
  return metadata.deletionTimestamp === undefined && status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
}

/** Waits for the pods of an installation, and makes the team "lab" with a key. */
export async function getReady(installation: Installation): Promise<void> {
  const { namespace, target } = installation
  await installation.ready()
  const service = await getObject('service', `${full}-gateway`, namespace)
  const secret = await getObject('secret', `${full}-tls-https`, namespace)
  await installation.cli('teams', 'add', 'lab')
  const { secret: key } = JSON.parse(await installation.cli('keys', 'create', '--team', 'lab', '--json')) as { secret: string }
  Object.assign(target, {
    url: `https://${await nodeAddress()}:${service.spec.ports?.[0]?.nodePort}`,
    ca: Buffer.from(secret.data?.['ca.crt'] ?? '', 'base64').toString(),
    key,
  })
}

export const modelId = 'smollm2-135m-instruct'

/** As charts/intramuros/ci/single-node-values.yaml, but for what this machine has: its model, addresses and two processors. */
function commonValues(models: string, file: string, address: string): object {
  const small = { requests: { cpu: '20m', memory: '192Mi' }, limits: { cpu: '1', memory: '768Mi' } }
  return {
    gateway: { replicas: 1, names: [address], resources: small, service: { type: 'NodePort' } },
    tokenizer: { replicas: 1, resources: small },
    audit: { resources: small, log: { storageClass: '-' }, key: { storageClass: '-' } },
    // What is tried outside must be something that listens: see isolation.test.ts.
    isolation: { outside: [`tcp:${address}:10250`] },
    pools: [
      {
        name: 'small',
        model: { id: modelId, file, sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53', licence: 'Apache-2.0', contextLength: 8192, openness: { weights: true, code: true, data: true, paper: true } },
        source: { hostPath: models },
        settings: { slots: 2, contextLength: 1024, threads: 1 },
        resources: { requests: { cpu: '20m', memory: '512Mi' }, limits: { cpu: '1', memory: '1Gi' } },
      },
    ],
  }
}

async function makeVolumes(folder: string, name: string, model: string, auditServices: number): Promise<void> {
  const volumes = Array.from({ length: auditServices }, (_, number) => ['log', 'key'].map((kind) => ({ kind, number, folder: join(folder, `${kind}-${number}`) }))).flat()
  await mkdir(join(folder, 'models'))
  await Promise.all(volumes.map((volume) => mkdir(volume.folder)))
  await copyFile(model, join(folder, 'models', basename(model)))
  await runProgram('chmod', ['-R', 'a+rX', folder], { timeoutMs: 10_000 })
  await runProgram('chown', ['65532:65532', ...volumes.map((volume) => volume.folder)], { timeoutMs: 10_000 })
  await apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
    ...volumes.map(({ kind, number, folder: path }) => ({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: `${name}-${kind}-${number}`, labels: { of: name } },
      spec: {
        capacity: { storage: '20Gi' },
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: '',
        hostPath: { path },
        claimRef: { namespace: name, name: `${kind}-${full}-audit-${number}` },
      },
    })),
  )
}

async function nodeAddress(): Promise<string> {
  const [node] = await listObjects('nodes', 'default', 'kubernetes.io/hostname=node')
  const address = node?.status.addresses?.find(({ type }) => type === 'InternalIP')?.address
  if (address === undefined) throw new Error('The cluster has no node of the name node, or one without an address.')
  return address
}

async function allReady(namespace: string): Promise<void> {
  const limit = `${readyMs / 1000}s`
  const deployments = await listObjects('deployments', namespace)
  const names = deployments.map(({ metadata }) => `deployment/${metadata.name}`)
  // Of several, those that stand by are never ready.
  const several = ((await getObject('statefulset', `${full}-audit`, namespace)).spec.replicas ?? 1) > 1
  if (!several) names.push(`statefulset/${full}-audit`)
  await Promise.all(names.map((each) => kubectl(['-n', namespace, 'rollout', 'status', each, `--timeout=${limit}`], { timeoutMs: readyMs + 10_000 })))
  // Those that go may take their time.
  await until(async () => {
    const pods = await listObjects('pods', namespace, 'intramuros.io/serving=true')
    const [audit, others] = [true, false].map((is) => pods.filter(({ metadata }) => (metadata.labels?.['app.kubernetes.io/component'] === 'audit') === is))
    return others?.every(isReady) === true && (several ? audit?.some(isReady) : audit?.every(isReady)) === true
  }, `the pods of ${namespace}`, readyMs)
}

async function remove(name: string, folder: string): Promise<void> {
  await kubectl(['delete', 'namespace', name, '--ignore-not-found', '--wait=true', '--timeout=170s'], { timeoutMs: 180_000 })
  await kubectl(['delete', 'pv', '-l', `of=${name}`, '--ignore-not-found', '--wait=false'])
  // That of the models, which the chart makes.
  await kubectl(['delete', 'pv', '-l', `app.kubernetes.io/instance=${release}`, '--ignore-not-found', '--wait=false'])
  await rm(folder, { recursive: true, force: true })
}

function merged(base: object, over: object): object {
  const result: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(over) as [string, unknown][]) {
    const before = result[name]
    result[name] = isPlain(before) && isPlain(value) ? merged(before, value) : value
  }
  return result
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
