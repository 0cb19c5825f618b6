import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadScript, makeBundle } from './make-bundle.ts'

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
  await makeBundle(place('intramuros-1.2.3.bundle'), tree('a'), readFileSync(place('ours.pem'), 'utf8'))
  bundle = readFileSync(place('intramuros-1.2.3.bundle'))
  writeFileSync(place('load.sh'), await loadScript())
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function tree(at: string): string {
  const file = (name: string, content: string): void => {
    mkdirSync(join(place(at), name, '..'), { recursive: true })
    writeFileSync(join(place(at), name), content)
  }
  file('images/gateway.tar', 'g'.repeat(2000))
  file('images/audit.tar', 'a'.repeat(700))
  file('models/small.gguf', 'GGUF')
  file('docs/install.md', '# Install')
  file('tools/node', '#!/bin/sh\necho "$@"\n')
  chmodSync(join(place(at), 'tools/node'), 0o755)
  // Longer than a tar's header takes.
  file(`tools/app/${'deep/'.repeat(40)}${'x'.repeat(120)}.js`, '')
  return place(at)
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
  expect(readdirSync(out).toSorted()).toEqual(['SHA256SUMS', 'SIGNATURE', 'docs', 'images', 'load.sh', 'models', 'tools'])
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

test('the same files make the same bytes, whenever and wherever', async () => {
  const again = tree('another/folder')
  utimesSync(join(again, 'images/audit.tar'), 1, 1)
  chmodSync(join(again, 'images/gateway.tar'), 0o600)
  await makeBundle(place('again.bundle'), again, readFileSync(place('ours.pem'), 'utf8'))
  expect(readFileSync(place('again.bundle')).equals(bundle)).toBe(true)
})

test('a key of another kind is refused, and leaves nothing', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await expect(makeBundle(place('none.bundle'), tree('b'), privateKey.export({ type: 'pkcs8', format: 'pem' }))).rejects.toThrow(/not Ed25519/)
  expect(readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([])
})
