import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { makeOnce, testCache } from '../support/make-once.ts'
import { runProgram } from '../support/run-program.ts'

const version = 'v3.19.5'
const ownChart = join(import.meta.dirname, '../../charts/intramuros')
const common = ['--kube-version', '1.34.0', '--namespace', 'llm']

/** What a chart is rendered with. */
export interface Rendering {
  /** Files of charts/intramuros/ci, by name without `-values.yaml`. */
  scenario: string
  /** As `--set` and `--set-json` take them. */
  set?: readonly string[]
  setJson?: readonly string[]
  /** API versions that the cluster has beside Kubernetes' own. */
  apis?: readonly string[]
  /** Of a cluster that `lookup` asks; without it nothing is found. */
  kubeconfig?: string
  /** Folder of another chart. */
  chart?: string
}

export interface Container {
  name: string
  image: string
  env?: { name: string; value?: string }[]
  securityContext?: Record<string, unknown>
  resources?: Record<string, Record<string, string>>
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[]
  args?: string[]
}

export interface PodSpec {
  automountServiceAccountToken?: boolean
  serviceAccountName?: string
  dnsPolicy?: string
  dnsConfig?: { nameservers?: string[] }
  hostNetwork?: boolean
  securityContext?: Record<string, unknown>
  hostAliases?: { ip: string; hostnames: string[] }[]
  nodeSelector?: Record<string, string>
  containers: Container[]
  volumes?: Record<string, unknown>[]
}

export interface PodTemplate {
  metadata: { labels: Record<string, string> }
  spec: PodSpec
}

export interface Policy {
  podSelector: { matchLabels?: Record<string, string> }
  policyTypes: string[]
  ingress?: { from?: unknown[]; ports?: { port: number }[] }[]
  egress?: { to?: { podSelector?: { matchLabels: Record<string, string> }; ipBlock?: { cidr: string } }[]; ports?: { port: number }[] }[]
}

/** An object as it is given to Kubernetes, as far as tests look at it. */
export interface Manifest {
  kind: string
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  spec: Record<string, unknown> & { template?: PodTemplate; jobTemplate?: { spec: { template: PodTemplate } }; leaderWorkerTemplate?: { leaderTemplate: PodTemplate; workerTemplate: PodTemplate } }
  data?: Record<string, string>
  rules?: unknown[]
}

/** All pods that the objects make, each with the name of what makes it. */
export function podsOf(manifests: readonly Manifest[]): (PodTemplate & { of: string })[] {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    if (kind === 'Pod') return [{ metadata: { labels: metadata.labels ?? {} }, spec: spec as unknown as PodSpec, of: metadata.name }]
    const group = spec?.leaderWorkerTemplate
    const templates = group === undefined ? [spec?.template ?? spec?.jobTemplate?.spec.template] : [group.leaderTemplate, group.workerTemplate]
    return templates.flatMap((template) => (template === undefined ? [] : [{ ...template, of: metadata.name }]))
  })
}

/** Objects that `helm template` makes. Throws an Error with what Helm said. */
export async function render(rendering: Rendering): Promise<Manifest[]> {
  return parseAllDocuments(await renderText(rendering)).flatMap((document) => (document.contents === null ? [] : [document.toJS() as Manifest]))
}

/** The same as text. */
export async function renderText({ scenario, set = [], setJson = [], apis = [], kubeconfig, chart = ownChart }: Rendering): Promise<string> {
  const options = [...set.flatMap((text) => ['--set', text]), ...setJson.flatMap((text) => ['--set-json', text]), ...apis.flatMap((text) => ['--api-versions', text]), ...(kubeconfig === undefined ? [] : ['--dry-run=server', '--kubeconfig', kubeconfig])]
  return runProgram(await helmProgram(), ['template', 'llm', chart, ...common, '-f', scenarioFile(scenario), ...options], { timeoutMs: 60_000 })
}

/** Throws an Error with what Helm's linter said. */
export async function lint(scenario: string): Promise<string> {
  return runProgram(await helmProgram(), ['lint', '--strict', ownChart, ...common, '-f', scenarioFile(scenario)], { timeoutMs: 60_000 })
}

function scenarioFile(scenario: string): string {
  return join(ownChart, 'ci', `${scenario}-values.yaml`)
}

/** Helm: of HELM, of the test cluster's kit, or built once from the Go module proxy, which needs Go. */
export async function helmProgram(): Promise<string> {
  const given = [process.env['HELM'], join(process.env['K8S_STATE'] ?? join(homedir(), '.cache/k8s-node'), 'bin/helm')].find((path) => path !== undefined && path !== '' && existsSync(path))
  if (given !== undefined) return given
  const folder = join(testCache(), `helm-${version}`)
  await makeOnce(folder, async () => {
    const modules = join(folder, 'modules')
    await runProgram('env', [`GOPATH=${modules}`, `GOBIN=${folder}`, 'GOFLAGS=-modcacherw', 'CGO_ENABLED=0', 'go', 'install', `helm.sh/helm/v3/cmd/helm@${version}`], { timeoutMs: 20 * 60_000 })
    await rm(modules, { recursive: true })
  })
  return join(folder, 'helm')
}
