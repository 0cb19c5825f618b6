import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync, writeFileSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { helmProgram } from '../chart/helm.ts'
import { runProgram } from '../support/run-program.ts'
import { type RunningContainerd, startContainerd } from './containerd.ts'
import { password, type RunningRegistry, startRegistry, user } from './registry.ts'

/** A real bundle with one image, made by the command; loading needs only what a closed site has. Needs Debian's apt, dpkg-deb and containerd, and root. */
const script = join(import.meta.dirname, '../../deploy/bundle/bundle.ts')
let folder: string
let registry: RunningRegistry
let containerd: RunningContainerd
/** Of the image, as the command printed it. */
let digest: string
const place = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-bundle-'))
  await runProgram('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', place('bundle.key')], { timeoutMs: 30_000 })
  writeFileSync(place('small.gguf'), 'GGUF')
  writeFileSync(place('password'), `${password}\n`)
  registry = await startRegistry(place('registry'))
  containerd = await startContainerd(place('containerd'))
  const said = make('made', '022')
  digest = /intramuros\/audit:\S+ +(sha256:[0-9a-f]{64})$/m.exec(said)?.[1] ?? expect.unreachable(said)
}, 600_000)
afterAll(async () => {
  await registry?.stop()
  await containerd?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function make(out: string, mask: string, env: NodeJS.ProcessEnv = {}): string {
  const args = ['--signing-key', place('bundle.key'), '--image', 'audit', '--model', place('small.gguf'), '--out', place(`${out}/small.bundle`)]
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `umask ${mask}; exec "$0" "$@"`, process.execPath, script, ...args], { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 280_000 })
  expect(status, stderr).toBe(0)
  return stdout
}

/** As whoever has the three files. */
function load(out: string, ...options: string[]): { status: number | null; said: string } {
  return loadWith({}, out, ...options)
}

function loadWith(env: NodeJS.ProcessEnv, out: string, ...options: string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync('sh', [place('made/load.sh'), place('made/small.bundle'), '--key', place('made/bundle.pub.pem'), '--out', place(out), ...options], { encoding: 'utf8', timeout: 120_000, env: { PATH: '/usr/bin:/bin', ...env } })
  return { status, said: stdout + stderr }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

test('the same commit, key and model make the same bytes, whoever makes them', () => {
  make('again', '077', { TZ: 'Asia/Tokyo' })
  for (const name of ['small.bundle', 'load.sh', 'bundle.pub.pem']) expect(sha256(readFileSync(place(`again/${name}`))), name).toBe(sha256(readFileSync(place(`made/${name}`))))
  expect(readdirSync(place('again')).toSorted()).toEqual(['bundle.pub.pem', 'load.sh', 'small.bundle'])
})

test('a changed byte in the middle of an image is refused, and nothing reaches the registry', async () => {
  const file = openSync(place('made/small.bundle'), 'r+')
  const at = Math.floor(statSync(place('made/small.bundle')).size / 2)
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, at)
  const write = (value: number): number => writeSync(file, Buffer.from([value]), 0, 1, at)
  write((byte[0] ?? 0) ^ 1)
  const { status, said } = load('refused', '--registry', `${registry.host}/platform`, '--ca', registry.ca, '--user', user, '--password-file', place('password'))
  write(byte[0] ?? 0)
  closeSync(file)
  expect({ status, unpacked: existsSync(place('refused')) }).toEqual({ status: 1, unpacked: false })
  expect(said).toContain('Nothing was unpacked')
  expect((await registry.get('/v2/platform/intramuros/audit/tags/list')).status).toBe(404)
})

test('a registry gets the image, and gives back the very same', async () => {
  const version = (JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string }).version
  const { status, said } = load('loaded', '--registry', `${registry.host}/platform`, '--ca', registry.ca, '--user', user, '--password-file', place('password'))
  expect(status, said).toBe(0)
  expect(said).toContain(`pushed ${registry.host}/platform/intramuros/audit:${version}`)
  const { status: found, body } = await registry.get(`/v2/platform/intramuros/audit/manifests/${version}`, 'application/vnd.oci.image.manifest.v1+json')
  expect({ found, digest: `sha256:${sha256(body)}` }).toEqual({ found: 200, digest })
  const manifest = JSON.parse(body.toString()) as { config: { digest: string }; layers: { digest: string }[] }
  const blobs = [manifest.config, ...manifest.layers]
  expect(blobs.length).toBeGreaterThan(2)
  for (const blob of blobs) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: they are large
    expect(`sha256:${sha256((await registry.get(`/v2/platform/intramuros/audit/blobs/${blob.digest}`)).body)}`).toBe(blob.digest)
  }
})

test("a node's containerd gets the image by the name that the chart's defaults have", async () => {
  const { status, said } = loadWith({ CTR: containerd.ctr }, 'on-node', '--containerd')
  expect(status, said).toBe(0)
  const [name = ''] = (await containerd.ask('images', 'ls', '-q')).trim().split('\n')
  expect(name).toMatch(/^localhost\/intramuros\/audit:\d/)
  expect(await containerd.ask('images', 'ls', `name==${name}`)).toContain(digest)
})

test('a wrong password, or a certificate of a CA that was not named, is told with what to do', () => {
  writeFileSync(place('wrong'), 'wrong')
  const refused = load('wrong-password', '--registry', registry.host, '--ca', registry.ca, '--user', user, '--password-file', place('wrong'))
  expect(refused.status).toBe(1)
  expect(refused.said).toMatch(/401.*Are --user and the password right/)
  expect(refused.said).toContain(`rm -rf ${place('wrong-password')}`)
  const unknown = load('unknown-ca', '--registry', registry.host, '--user', user, '--password-file', place('password'))
  expect(unknown.status).toBe(1)
  expect(unknown.said).toMatch(/can not be used: .*certificate/)
  expect(load('scheme', '--registry', `https://${registry.host}`).said).toContain('without https://')
  expect(load('no-ca', '--registry', registry.host, '--ca', place('nowhere')).said).toContain(`the CA ${place('nowhere')} can't be read`)
  expect(existsSync(place('no-ca'))).toBe(false)
})

test('the tools run from the bundle with nothing installed, wherever it lies, and the chart in it installs', async () => {
  const moved = place('moved bundle')
  if (!existsSync(place('loaded'))) expect(load('loaded').status).toBe(0)
  cpSync(place('loaded'), moved, { recursive: true })
  mkdirSync(place('bin'))
  spawnSync('ln', ['-s', join(moved, 'tools/intramuros'), place('bin/intramuros')])
  // No PATH but that of the smallest tools, no home, no Node.js and no packages of this project.
  const inside = (...args: string[]) => spawnSync(place('bin/intramuros'), args, { cwd: '/', encoding: 'utf8', env: { PATH: '/usr/bin:/bin' }, timeout: 60_000 })
  expect(inside('--version').stdout).toBe(`${(JSON.parse(readFileSync(join(moved, 'tools/app/package.json'), 'utf8')) as { version: string }).version}\n`)
  // It has Kubernetes' client and asks the cluster that the kubeconfig names, which is none.
  writeFileSync(place('kubeconfig'), JSON.stringify({ clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }], users: [{ name: 'u', user: {} }], contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }], 'current-context': 'x' }))
  const asked = inside('verify', 'isolation', '--kubeconfig', place('kubeconfig'), '-n', 'llm')
  expect(asked.status, asked.stderr).toBe(2)
  expect(asked.stderr).toContain('The cluster could not be asked')
  expect(asked.stderr).not.toMatch(/MODULE_NOT_FOUND|Cannot find/)

  const chart = readdirSync(join(moved, 'charts')).find((name) => name.endsWith('.tgz')) ?? expect.unreachable()
  const rendered = await runProgram(await helmProgram(), ['template', 'llm', join(moved, 'charts', chart), '--kube-version', '1.34.0', '-n', 'llm', '-f', join(moved, 'charts/intramuros/ci/single-node-values.yaml')], { timeoutMs: 60_000 })
  expect(rendered).toContain('image: localhost/intramuros/audit:')
})

test('what lacks is said before anything is built', () => {
  const run = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', timeout: 60_000 })
  expect(run()).toMatchObject({ status: 2, stderr: expect.stringContaining('openssl genpkey -algorithm ed25519') as string })
  expect(run('--signing-key', place('none'))).toMatchObject({ status: 1, stderr: expect.stringMatching(/ENOENT.*openssl genpkey/) as string })
  expect(run('--signing-key', place('small.gguf'))).toMatchObject({ status: 1, stderr: expect.stringContaining('no private key') as string })
  expect(run('--signing-key', place('bundle.key'), '--image', 'nothing', '--out', place('x/y'))).toMatchObject({ status: 1, stderr: expect.stringContaining('There is no image nothing') as string })
  expect(run('--signing-key', place('bundle.key'), '--model', place('no.gguf'), '--out', place('x/y'))).toMatchObject({ status: 1, stderr: expect.stringContaining('no.gguf') as string })
  expect(run('--signing-key', place('bundle.key'), '--images', folder, '--image', 'audit', '--out', place('x/y'))).toMatchObject({ status: 1, stderr: expect.stringContaining('images:build') as string })
  expect(readdirSync(place('x'))).toEqual([])
})
