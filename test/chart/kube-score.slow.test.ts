import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeOnce, testCache } from '../support/make-once.ts'
import { runProgram } from '../support/run-program.ts'
import { renderText } from './helm.ts'

const scenarios = (await readdir(join(import.meta.dirname, '../../charts/intramuros/ci'))).map((name) => name.replace('-values.yaml', ''))

/** What is not done, and why: also in docs/decisions/0009-chart.md. */
const exceptions = {
  'container-image-pull-policy': 'Images are pinned by version or digest; a node that has them must not need the registry to start a pod.',
  'deployment-has-host-podantiaffinity': 'Pods are spread by topologySpreadConstraints, which kube-score does not look at.',
  'statefulset-has-host-podantiaffinity': 'Likewise.',
  'deployment-replicas': 'A pool of one GPU, and a single node, are what some have.',
  'horizontalpodautoscaler-replicas': 'Likewise: a pool may begin with one.',
}

/** Of single scenarios. */
const exceptionsOf: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  postgres: { 'statefulset-has-poddisruptionbudget': 'An audit service that stands by is never ready: a budget would never let the one that writes go.' },
  'vllm-two-nodes': { 'service-targets-pod': 'kube-score does not know the pods of a LeaderWorkerSet.' },
}

async function kubeScore(manifests: string, ignored: readonly string[]): Promise<string> {
  const folder = join(testCache(), 'kube-score-v1.20.0')
  await makeOnce(folder, async () => {
    await runProgram('env', [`GOBIN=${folder}`, 'CGO_ENABLED=0', 'go', 'install', 'github.com/zegl/kube-score/cmd/kube-score@v1.20.0'], { timeoutMs: 20 * 60_000 })
  })
  const options = ['score', '--exit-one-on-warning', '--output-format', 'ci', ...ignored.flatMap((name) => ['--ignore-test', name]), '-']
  return runProgram(join(folder, 'kube-score'), options, { timeoutMs: 60_000, input: manifests })
}

test.each(scenarios)('kube-score finds nothing in scenario %s but what is explained', async (scenario) => {
  expect(await kubeScore(await renderText({ scenario }), Object.keys({ ...exceptions, ...exceptionsOf[scenario] }))).not.toMatch(/\[(CRITICAL|WARNING)\]/)
})

test('it would find a root file system that can be written', async () => {
  const broken = (await renderText({ scenario: 'single-node' })).replaceAll('readOnlyRootFilesystem: true', 'readOnlyRootFilesystem: false')
  await expect(kubeScore(broken, Object.keys(exceptions))).rejects.toThrow(/CRITICAL.*writable root filesystem/i)
})
