import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { expect, test } from 'vitest'
import { runProgram } from '../support/run-program.ts'
import { helmProgram, type Manifest, podsOf } from './helm.ts'

/** What docs/install.md has people write is what the chart takes. */
const root = join(import.meta.dirname, '../..')
const guide = await readFile(join(root, 'docs/install.md'), 'utf8')
const examples = [...guide.matchAll(/^```yaml\n(# my-values\.yaml\n[^]*?)^```/gm)].map(([, text = '']) => text.replace("'…'", `'${'1'.repeat(64)}'`))
const given = [...guide.matchAll(/<<'YAML'\n([^]*?)^YAML$/gm)].flatMap(([, text = '']) => parse(text))

function parse(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => (document.contents === null ? [] : [document.toJS() as Manifest]))
}

async function install(values: string): Promise<Manifest[]> {
  const args = ['template', 'llm', join(root, 'charts/intramuros'), '--kube-version', '1.34.0', '-n', 'llm', '-f', '-', '--set', 'walls.apiServer.cidrs={10.10.10.2/32}']
  return parse(await runProgram(await helmProgram(), args, { timeoutMs: 60_000, input: values }))
}

test('both examples of values are taken, and give what the guide says', async () => {
  const [single = '', gpu = ''] = examples
  expect(examples).toHaveLength(2)
  const onNode = await install(single)
  // The volumes that the guide has made are those that the audit service claims.
  const audit = onNode.find(({ kind }) => kind === 'StatefulSet')
  const templates = audit?.spec['volumeClaimTemplates'] as { metadata: { name: string }; spec: { storageClassName?: string; accessModes: string[]; resources: { requests: { storage: string } } } }[]
  const claimed = templates.map(({ metadata, spec }) => ({ namespace: 'llm', name: `${metadata.name}-${audit?.metadata.name}-0`, class: spec.storageClassName, modes: spec.accessModes, size: spec.resources.requests.storage }))
  const made = given
    .filter(({ kind }) => kind === 'PersistentVolume')
    .map(({ spec }) => ({ ...(spec['claimRef'] as { namespace: string; name: string }), class: spec['storageClassName'], modes: spec['accessModes'], size: (spec['capacity'] as { storage: string }).storage }))
  expect(made.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(claimed.toSorted((a, b) => a.name.localeCompare(b.name)))

  const images = podsOf(await install(gpu)).flatMap(({ spec }) => spec.containers.map(({ image }) => image))
  expect(images.every((image) => image.startsWith('registry.example.org/platform/intramuros/'))).toBe(true)
  const names = (manifests: readonly Manifest[]): string[] => manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  for (const name of ['StatefulSet llm-intramuros-audit', 'Service llm-intramuros-gateway', 'Secret llm-intramuros-tls-https']) expect(names(onNode)).toContain(name)
})

test('the pod that a model is put in place by keeps to the restricted Pod Security Standard, and mounts the claim that the values name', () => {
  const pod = given.find(({ kind }) => kind === 'Pod') ?? expect.unreachable()
  const [container] = (pod.spec as unknown as { containers: { securityContext: object }[] }).containers
  expect(pod.spec).toMatchObject({ securityContext: { runAsNonRoot: true, runAsUser: 65_532, fsGroup: 65_532, seccompProfile: { type: 'RuntimeDefault' } }, volumes: [{ persistentVolumeClaim: { claimName: 'models' } }] })
  expect(container?.securityContext).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } })
  expect(given.some(({ kind, metadata }) => kind === 'PersistentVolumeClaim' && metadata.name === 'models')).toBe(true)
  expect(examples[1]).toContain('source: { claim: models }')
})
