import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pythonEnvironment } from '../support/python.ts'
import { runProgram } from '../support/run-program.ts'
import { renderText } from './helm.ts'

const scenarios = (await readdir(join(import.meta.dirname, '../../charts/intramuros/ci'))).map((name) => name.replace('-values.yaml', ''))

interface Explanation {
  check: string
  /** Of which objects: `Kind.namespace.name`. */
  of: RegExp
  why: string
}

/** What is not done, and why: also in docs/decisions/0009-chart.md. */
const explanations: readonly Explanation[] = [
  { check: 'CKV_K8S_15', of: /./, why: 'Images are pinned by version or digest; a node that has them must not need the registry to start a pod.' },
  { check: 'CKV_K8S_43', of: /./, why: 'Digests are for whoever sets image.digests, as air-gapped does; a version names the images of a release.' },
  { check: 'CKV_K8S_8', of: /^Pod\.llm\.llm-intramuros-test-/, why: 'The pods of `helm test` end by themselves.' },
  { check: 'CKV_K8S_9', of: /^Pod\.llm\.llm-intramuros-test-/, why: 'Likewise.' },
  { check: 'CKV_K8S_38', of: /^(Deployment\.llm\.llm-intramuros-gateway|CronJob\.llm\.llm-intramuros-collector)$/, why: 'The gateway and the collector of isolation checks ask the API server for EndpointSlices.' },
]

interface Finding {
  check: string
  of: string
  what: string
}

interface CheckovReport {
  summary: { passed: number; parsing_errors: number }
  results: { failed_checks: { check_id: string; check_name: string; resource: string; file_path: string }[] }
}

let folder = ''
let found: ReadonlyMap<string, readonly Finding[]> = new Map()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkov-'))
  const texts = await Promise.all(scenarios.map(async (scenario): Promise<[string, string]> => [scenario, await renderText({ scenario })]))
  found = await checkov(join(folder, 'scenarios'), texts)
}, 20 * 60_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What checkov finds, by name of the text. It is run where there is no network, not even a loopback: it likes to ask its maker for news. */
async function checkov(into: string, texts: readonly (readonly [name: string, text: string])[]): Promise<Map<string, Finding[]>> {
  const program = join(dirname(await pythonEnvironment('checkov', ['checkov==3.3.30'])), 'checkov')
  await mkdir(into)
  for (const [name, text] of texts) await writeFile(join(into, `${name}.yaml`), text)
  const options = ['--directory', into, '--framework', 'kubernetes', '--skip-download', '--quiet', '--compact', '--soft-fail', '--output', 'json']
  const { summary, results } = JSON.parse(await runProgram('unshare', ['--user', '--map-root-user', '--net', program, ...options], { timeoutMs: 5 * 60_000 })) as CheckovReport
  if (summary.parsing_errors !== 0 || summary.passed < 400 * texts.length) throw new Error(`checkov has not looked at everything: ${JSON.stringify(summary)}`)
  return new Map(
    texts.map(([name]) => {
      const here = results.failed_checks.filter(({ file_path }) => file_path === `/${name}.yaml`)
      return [name, here.map(({ check_id, check_name, resource }) => ({ check: check_id, of: resource, what: check_name }))]
    }),
  )
}

function isExplained({ check, of }: Finding): boolean {
  return explanations.some((explanation) => explanation.check === check && explanation.of.test(of))
}

test.each(scenarios)('checkov finds nothing in scenario %s but what is explained', (scenario) => {
  const all = found.get(scenario)
  expect(all).toBeDefined()
  expect(all?.filter((finding) => !isExplained(finding))).toEqual([])
})

test('each explanation is still needed', () => {
  const all = [...found.values()].flat()
  expect(explanations.filter(({ check, of }) => !all.some((finding) => finding.check === check && of.test(finding.of)))).toEqual([])
})

test('it would find a root file system that can be written, and a token in a worker', async () => {
  const sound = await renderText({ scenario: 'single-node' })
  const broken = sound.replaceAll('readOnlyRootFilesystem: true', 'readOnlyRootFilesystem: false').replaceAll('automountServiceAccountToken: false', 'automountServiceAccountToken: true')
  expect(broken).not.toBe(sound)
  const findings = (await checkov(join(folder, 'broken'), [['broken', broken]])).get('broken')?.filter((finding) => !isExplained(finding))
  expect(findings).toContainEqual(expect.objectContaining({ check: 'CKV_K8S_22', of: 'Deployment.llm.llm-intramuros-gateway' }))
  expect(findings).toContainEqual(expect.objectContaining({ check: 'CKV_K8S_38', of: 'Deployment.llm.llm-intramuros-worker-small' }))
})
