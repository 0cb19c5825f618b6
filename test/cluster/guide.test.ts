import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runProgram } from '../support/run-program.ts'
import { ended, kubectl, listObjects, onNode } from './cluster.ts'

/** The commands of docs/install.md, as they stand there, by somebody who has the three files that it begins with. */
const project = join(import.meta.dirname, '../..')
const images = ['gateway', 'tokenizer', 'audit', 'worker-cpu', 'probe']
const minute = 60_000
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-guide-'))
})
afterAll(async () => {
  await kubectl(['delete', 'namespace', 'llm', '--ignore-not-found', '--timeout=110s'])
  await kubectl(['delete', 'pv', 'llm-log', 'llm-key', '--ignore-not-found', '--wait=false'])
  await kubectl(['delete', 'pv', '-l', 'app.kubernetes.io/instance=llm', '--ignore-not-found', '--wait=false'])
  rmSync(folder, { recursive: true })
})

/** Blocks of a section of the guide; `language` is "sh" or "yaml". */
function blocks(guide: string, heading: string, language: string): string[] {
  const level = /^#+/.exec(heading)?.[0] ?? ''
  const start = guide.indexOf(`\n${heading}\n`)
  if (start === -1) throw new Error(`docs/install.md has no section "${heading}"`)
  const rest = guide.slice(start + heading.length)
  const end = rest.search(new RegExp(`\n#{2,${level.length}} `))
  const section = end === -1 ? rest : rest.slice(0, end)
  return [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, kind, text = '']) => (kind === language ? [text] : []))
}

function line(texts: readonly string[], pattern: RegExp): string {
  const found = texts.flatMap((text) => text.split('\n')).find((one) => pattern.test(one))
  if (found === undefined) throw new Error(`docs/install.md has no such command: ${String(pattern)}`)
  return found
}

test('from the bundle to a chat and a signed report, by the commands of the guide', async () => {
  // Whoever makes it.
  const made = join(folder, 'made')
  mkdirSync(made)
  const key = join(folder, 'bundle.key')
  await runProgram('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key], { timeoutMs: minute })
  // As its publisher names it, and the guide.
  const model = join(folder, 'SmolLM2-135M-Instruct.Q4_1.gguf')
  copyFileSync(process.env['INTRAMUROS_TEST_MODEL'] ?? '', model)
  const built = process.env['INTRAMUROS_TEST_IMAGE_FOLDER']
  await runProgram(process.execPath, [join(project, 'deploy/bundle/bundle.ts'), '--signing-key', key, '--image', images.join(','), '--model', model, '--out', join(made, 'intramuros-0.1.0.bundle'), ...(built === undefined ? [] : ['--images', built])], { timeoutMs: 10 * minute })

  // The other side has these three, and what it takes the guide from.
  const guide = readFileSync(join(project, 'docs/install.md'), 'utf8')
  const site = join(folder, 'site')
  mkdirSync(site)
  const first = blocks(guide, '## 1. Check, unpack, load', 'sh')
  // On the node, which has the images from elsewhere already.
  for (const name of images) {
    // oxlint-disable-next-line no-await-in-loop -- five
    await onNode('ctr', '-n', 'k8s.io', 'images', 'rm', '--sync', `localhost/intramuros/${name}:0.1.0`)
  }
  await onNode('sh', '-c', `cd ${made} && ${line(first, /^sh load\.sh .*--containerd$/)} --out ${join(folder, 'on-node')}`)

  const [address] = (await listObjects('nodes', 'default', 'kubernetes.io/hostname=node'))[0]?.status.addresses?.flatMap(({ type, address: at }) => (type === 'InternalIP' ? [at] : [])) ?? []
  const volumes = join(folder, 'srv')
  mkdirSync(volumes)
  const fitted = (text: string): string => text.replaceAll('/srv/intramuros', volumes).replaceAll('tcp:10.0.0.1:443', `tcp:${address}:10250`).replaceAll('--timeout=30m', '--timeout=3m')
  const [values = ''] = blocks(guide, '### One node, no storage class', 'yaml')
  const script = [
    `cd ${made}`,
    line(first, /^sh load\.sh \S+ --key \S+$/),
    'cd intramuros-0.1.0',
    line(first, /^tools\/intramuros --version$/),
    ...blocks(guide, '## 2. The model to where pods find it', 'sh').slice(0, 1),
    ...blocks(guide, '### One node, no storage class', 'sh'),
    ...blocks(guide, '## 4. Install', 'sh'),
    ...blocks(guide, '## 5. A chat', 'sh'),
    ...blocks(guide, '## 6. Proof that nothing leaves', 'sh'),
  ].map(fitted)
  mkdirSync(join(made, 'values'))
  writeFileSync(join(made, 'values/my-values.yaml'), fitted(values))
  // What a person sees to: the values are in the folder; a connection that is forwarded takes a moment; it ends when the window is closed.
  const person = [
    'set -e; trap \'kill $(jobs -p) 2> /dev/null\' EXIT',
    'curl() { command curl -sS --retry 30 --retry-delay 1 --retry-connrefused "$@"; }',
    'load() { sh load.sh "$@" && cp values/my-values.yaml intramuros-0.1.0/; }',
  ]
  const text = [...person, ...script].join('\n').replace(/^sh load\.sh/m, 'load')
  const { status, output, errors } = await ended('bash', ['-c', text], 7 * minute)
  const told = `${output}\n${errors}`
  expect(status, told).toBe(0)
  expect(output).toContain('The bundle is whole')
  expect(output).toMatch(/"finish_reason":\s*"(stop|length)"/)
  expect(output).toMatch(/Phase: +Succeeded/)
  expect(output).toContain('The walls hold')
  expect(existsSync(join(made, 'intramuros-0.1.0/isolation/isolation-receipt.txt'))).toBe(true)
})
