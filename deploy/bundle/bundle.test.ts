import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BundleParts, loadScript, makeBundle } from './make-bundle.ts'

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

function parts(at: string): BundleParts {
  const file = (name: string, content: string): string => {
    mkdirSync(place(at), { recursive: true })
    writeFileSync(place(`${at}/${name}`), content)
    return place(`${at}/${name}`)
  }
  return {
    version: '1.2.3',
    images: [file('gateway.tar', 'g'.repeat(2000)), file('audit.tar', 'a'.repeat(700))],
    chart: file('intramuros-1.2.3.tgz', 'chart'),
    sboms: [file('gateway.cdx.json', '{}')],
    models: [file('small.gguf', 'GGUF')],
    tools: { node: file('node', '#!/bin/sh\necho "$@"\n'), pushImages: file('push.mjs', '') },
    guide: file('install.md', '# Install'),
    signingKey: readFileSync(place('ours.pem'), 'utf8'),
    time: Date.UTC(2026, 10, 1),
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
  expect(readdirSync(out).toSorted()).toEqual(['SHA256SUMS', 'SIGNATURE', 'chart', 'docs', 'images', 'load.sh', 'models', 'sbom', 'tools'])
  expect(readFileSync(join(out, 'images/gateway.tar'), 'utf8')).toBe('g'.repeat(2000))
  expect(statSync(join(out, 'tools/node')).mode & 0o777).toBe(0o755)
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
  expect(spawnSync('sh', [place('load.sh'), place('none'), '--key', place('ours.pub')], { encoding: 'utf8' }).stderr).toContain("can't be read")
})

test('the same parts make the same bytes, whenever and wherever', async () => {
  const again = parts('another/folder')
  for (const file of again.images) utimesSync(file, 1, 1)
  await makeBundle(place('again.bundle'), { ...again, images: again.images.toReversed() })
  expect(readFileSync(place('again.bundle')).equals(bundle)).toBe(true)
})
