import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BundleParts, KeyError, loadScript, makeBundle, tarOptions } from './make-bundle.ts'

/** What load.sh needs of it is checked with the standard tools that it runs: sh, tar, sha256sum, openssl. */
let folder: string
let bundle: Buffer
const place = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-bundle-'))
  for (const name of ['ours', 'others']) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    writeFileSync(place(`${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    writeFileSync(place(`${name}.pub`), publicKey.export({ type: 'spki', format: 'pem' }))
  }
  await makeBundle(place('intramuros-1.2.3.bundle'), parts('a'))
  bundle = readFileSync(place('intramuros-1.2.3.bundle'))
  writeFileSync(place('load.sh'), await loadScript())
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A name that ustar has no room for. */
const long = `${'deep/'.repeat(60)}${'n'.repeat(120)}.js`

function parts(at: string): BundleParts {
  const file = (name: string, content: string, mode = 0o644): string => {
    const path = place(`${at}/${name}`)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content, { mode })
    return path
  }
  file('tools/node', '#!/bin/sh\necho "$@"\n', 0o755)
  file(`tools/${long}`, 'long')
  return {
    content: new Map([
      ['images/gateway.tar', file('gateway.tar', 'g'.repeat(2000))],
      ['images/audit.tar', file('audit.tar', 'a'.repeat(700))],
      ['charts/intramuros-1.2.3.tgz', file('intramuros-1.2.3.tgz', 'chart')],
      ['sbom/gateway.cdx.json', file('gateway.cdx.json', '{}')],
      ['models/small.gguf', file('small.gguf', 'GGUF')],
      ['tools', place(`${at}/tools`)],
      ['docs/install.md', file('install.md', '# Install')],
    ]),
    signingKey: readFileSync(place('ours.pem'), 'utf8'),
  }
}

function load(bytes: Uint8Array, key = 'ours.pub'): { status: number | null; said: string; out: string } {
  const out = mkdtempSync(place('out-'))
  rmSync(out, { recursive: true })
  writeFileSync(place('given.bundle'), bytes)
  const { status, stdout, stderr } = spawnSync('sh', [place('load.sh'), place('given.bundle'), '--key', place(key), '--out', out], { encoding: 'utf8', timeout: 30_000 })
  return { status, said: stdout + stderr, out }
}

test('a bundle is checked and unpacked by standard tools', () => {
  const { status, said, out } = load(bundle)
  expect(said).toContain('The bundle is whole')
  expect(status).toBe(0)
  expect(readdirSync(out).toSorted()).toEqual(['SHA256SUMS', 'SIGNATURE', 'charts', 'docs', 'images', 'load.sh', 'models', 'sbom', 'tools'])
  expect(readFileSync(join(out, 'images/gateway.tar'), 'utf8')).toBe('g'.repeat(2000))
  expect(statSync(join(out, 'tools/node')).mode & 0o777).toBe(0o755)
  expect(readFileSync(join(out, 'tools', long), 'utf8')).toBe('long')
  expect(readdirSync(folder).filter((name) => name.includes('.load-'))).toEqual([])
  expect(readFileSync(join(out, 'load.sh'), 'utf8')).toBe(readFileSync(place('load.sh'), 'utf8'))
})

test('a changed bit is refused wherever it is, and nothing is unpacked', () => {
  const everywhere = [0, 8, 100, 148, 511, 512, 575, 576, 800, 1023, 1024, 1100, 1540, Math.floor(bundle.length / 2), bundle.length - 700, bundle.length - 1]
  for (const at of everywhere) {
    const changed = Buffer.from(bundle)
    changed[at] = (changed[at] ?? 0) ^ 1
    const { status, out } = load(changed)
    expect({ at, status, unpacked: existsSync(out) }).toEqual({ at, status: 1, unpacked: false })
  }
})

test('one that is cut short or longer, or of another owner, is refused', () => {
  for (const changed of [bundle.subarray(0, -512), bundle.subarray(0, 1024), bundle.subarray(0, 300), Buffer.concat([bundle, Buffer.alloc(512)]), Buffer.alloc(4096)]) {
    const { status, out } = load(changed)
    expect({ status, unpacked: existsSync(out) }).toEqual({ status: 1, unpacked: false })
  }
  const { status, said, out } = load(bundle, 'others.pub')
  expect(said).toContain('signed by somebody else')
  expect({ status, unpacked: existsSync(out) }).toEqual({ status: 1, unpacked: false })
})

test('a folder that exists is not written over, and what is missing is said', () => {
  mkdirSync(place('there'))
  const { status, stderr } = spawnSync('sh', [place('load.sh'), place('intramuros-1.2.3.bundle'), '--key', place('ours.pub'), '--out', place('there')], { encoding: 'utf8' })
  expect(status).toBe(1)
  expect(stderr).toContain('exists already')
  expect(spawnSync('sh', [place('load.sh'), place('intramuros-1.2.3.bundle')]).status).toBe(2)
  expect(spawnSync('sh', [place('load.sh'), '--key', place('ours.pub'), place('intramuros-1.2.3.bundle')]).status).toBe(2)
  writeFileSync(place('no.key'), 'no key')
  for (const wrong of ['no.key', 'intramuros-1.2.3.bundle']) {
    expect(spawnSync('sh', [place('load.sh'), place('intramuros-1.2.3.bundle'), '--key', place(wrong), '--out', place('wrong')], { encoding: 'utf8' }).stderr).toContain('is no public key in PEM')
  }
  expect(spawnSync('sh', [place('load.sh'), place('none'), '--key', place('ours.pub')], { encoding: 'utf8' }).stderr).toContain("can't be read")
})

test('the same parts make the same bytes, whenever and wherever', async () => {
  const again = parts('another/folder')
  for (const file of again.content.values()) utimesSync(file, 1, 1)
  chmodSync(place('another/folder/gateway.tar'), 0o600)
  await makeBundle(place('again.bundle'), { ...again, content: new Map([...again.content].toReversed()) })
  expect(readFileSync(place('again.bundle')).equals(bundle)).toBe(true)
})

test('a key that can not sign is refused before anything is made', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  for (const signingKey of ['nothing', privateKey.export({ type: 'pkcs8', format: 'pem' })]) {
    // oxlint-disable-next-line no-await-in-loop -- two
    await expect(makeBundle(place('none/none.bundle'), { content: new Map(), signingKey })).rejects.toThrow(KeyError)
  }
  expect(existsSync(place('none'))).toBe(false)
})

test('a model of more than 8 GiB, for which ustar has no number, is packed with its size', () => {
  const model = place('large.gguf')
  writeFileSync(model, '')
  truncateSync(model, 9 * 2 ** 30)
  // The beginning is enough: it says how much is to come.
  const { stdout } = spawnSync('sh', ['-c', 'tar "$@" 2>/dev/null | head -c 512', 'sh', ...tarOptions, '-cf', '-', '-C', folder, 'large.gguf'])
  const { stdout: listed } = spawnSync('tar', ['-tvf', '-'], { input: stdout, encoding: 'utf8' })
  expect(listed).toContain(` ${9 * 2 ** 30} `)
})

test('what does not fit is not left half unpacked, and images that were not taken are told', () => {
  // A limit on the size of files stands for a full disk: the kernel refuses the write that goes beyond.
  const out = place('full')
  const { status, stderr } = spawnSync('sh', ['-c', 'trap "" XFSZ; ulimit -f 1; exec sh "$@"', 'sh', place('load.sh'), place('intramuros-1.2.3.bundle'), '--key', place('ours.pub'), '--out', out], { encoding: 'utf8' })
  expect({ status, left: readdirSync(folder).filter((name) => name.startsWith('full')) }).toEqual({ status: 1, left: [] })
  expect(stderr).toContain('is the disk full?')
  writeFileSync(place('ctr'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  const refused = spawnSync('sh', [place('load.sh'), place('intramuros-1.2.3.bundle'), '--key', place('ours.pub'), '--out', out, '--containerd'], { encoding: 'utf8', env: { ...process.env, CTR: place('ctr') } })
  expect(refused.status).toBe(1)
  expect(refused.stderr).toMatch(/containerd did not take .*audit\.tar.*rm -rf .*full/)
})
