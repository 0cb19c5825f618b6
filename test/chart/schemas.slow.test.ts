import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { renderText } from './helm.ts'
import { kubeconformProgram, kubernetesSchemas } from './kubernetes-schemas.ts'
import { runProgram } from '../support/run-program.ts'

/** The last four releases that the test cluster's is the newest of. */
const releases = ['v1.31.0', 'v1.32.0', 'v1.33.0', 'v1.34.0']
const scenarios = (await readdir(join(import.meta.dirname, '../../charts/intramuros/ci'))).map((name) => name.replace('-values.yaml', ''))
/** Kinds of others, whose schemas are not Kubernetes' own. */
const ofOthers = ['ScaledObject', 'LeaderWorkerSet', 'Certificate', 'Issuer', 'TLSRoute']

interface Summary {
  valid: number
  invalid: number
  errors: number
  skipped: number
}

async function conform(release: string, manifests: string): Promise<Summary> {
  const schemas = await kubernetesSchemas(release)
  const options = ['-strict', '-summary', '-output', 'json', '-skip', ofOthers.join(','), '-schema-location', `${schemas}/{{ .ResourceKind }}{{ .KindSuffix }}.json`]
  const told = await runProgram(await kubeconformProgram(), options, { timeoutMs: 60_000, input: manifests })
  return (JSON.parse(told) as { summary: Summary }).summary
}

describe.each(releases)('Kubernetes %s', (release) => {
  test.each(scenarios)('takes scenario %s', async (scenario) => {
    const { valid, invalid, errors, skipped } = await conform(release, await renderText({ scenario }))
    expect({ invalid, errors }).toEqual({ invalid: 0, errors: 0 })
    expect(valid).toBeGreaterThan(skipped)
  })

  test('a field that it does not know is an error', async () => {
    const broken = (await renderText({ scenario: 'single-node' })).replace('enableServiceLinks: false', 'enableServiceLink: false')
    await expect(conform(release, broken)).rejects.toThrow(/enableServiceLink/)
  })
})
