import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeOnce, testCache } from '../support/make-once.ts'
import { runProgram } from '../support/run-program.ts'

type Schema = Record<string, unknown> & { properties?: Record<string, unknown>; 'x-kubernetes-group-version-kind'?: { group: string; version: string; kind: string }[] }

const definitionsFile = '_definitions.json'
/** What the API takes in more ways than its description says. */
const looser: Readonly<Record<string, Schema>> = {
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': { type: ['string', 'integer'] },
  'io.k8s.apimachinery.pkg.api.resource.Quantity': { type: ['string', 'number'] },
}

/**
 * Folder of JSON Schemas of a Kubernetes release's own API, one file a kind as `<kind>-<group>-<version>.json`, closed: a field that the release does not know is an error.
 * Made once of the OpenAPI description in the release's Go module, which the Go module proxy has.
 */
export async function kubernetesSchemas(release: string): Promise<string> {
  const folder = join(testCache(), `kubernetes-schemas-${release}`)
  await makeOnce(folder, async () => {
    const told = await runProgram('go', ['mod', 'download', '-json', `k8s.io/kubernetes@${release}`], { timeoutMs: 10 * 60_000 })
    const { Dir: sources } = JSON.parse(told) as { Dir: string }
    const { definitions } = JSON.parse(await readFile(join(sources, 'api/openapi-spec/swagger.json'), 'utf8')) as { definitions: Record<string, Schema> }
    const closed = Object.fromEntries(Object.entries(definitions).map(([name, schema]) => [name, looser[name] ?? (schema.properties === undefined ? schema : { ...schema, additionalProperties: false })]))
    await writeFile(join(folder, definitionsFile), JSON.stringify({ definitions: closed }))
    for (const [name, { 'x-kubernetes-group-version-kind': kinds = [] }] of Object.entries(definitions)) {
      const [only, ...others] = kinds
      if (only === undefined || others.length > 0) continue
      // As kubeconform names them: the group without what follows its first dot.
      const group = only.group === '' ? '' : `${only.group.split('.')[0]}-`
      await writeFile(join(folder, `${only.kind.toLowerCase()}-${group}${only.version}.json`), JSON.stringify({ $ref: `${definitionsFile}#/definitions/${name}` }))
    }
  })
  return folder
}

/** kubeconform, built once from the Go module proxy. */
export async function kubeconformProgram(): Promise<string> {
  const folder = join(testCache(), 'kubeconform-v0.8.0')
  await makeOnce(folder, async () => {
    await runProgram('env', [`GOBIN=${folder}`, 'CGO_ENABLED=0', 'go', 'install', 'github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0'], { timeoutMs: 20 * 60_000 })
  })
  return join(folder, 'kubeconform')
}
