import { execFile } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseMaterial } from '../../services/shared/tls/material.ts'
import { type CertificateOptions, type CertificateState, ensureCertificates } from './certificates.ts'
import { issueLeaf } from './issue-certificate.ts'

const day = 86_400_000
const year = 365 * day
const start = new Date('2026-03-01T12:00:00Z')
const leaves = ['gateway', 'tokenizer', 'inference-worker', 'audit', 'cli', 'https']
const leafFiles = leaves.map((name) => `${name}.pem`)

let folder: string
let clock: Date

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'intramuros-certificates-')), 'tls')
  clock = start
})
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }))

function ensure(more: Partial<CertificateOptions> = {}): Promise<CertificateState> {
  return ensureCertificates({ folder, now: () => clock, httpsNames: [], ...more })
}

const after = (ms: number): Date => new Date(start.getTime() + ms)
const text = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')
const bundle = async (): Promise<X509Certificate[]> =>
  (await text('ca.crt')).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g)?.map((pem) => new X509Certificate(pem)) ?? []

async function certificate(name: string): Promise<X509Certificate> {
  const pem = await text(`${name}.pem`)
  return new X509Certificate(pem.slice(pem.indexOf('-----BEGIN CERTIFICATE')))
}

/** What every service checks before it takes a certificate up, for those that are there. */
async function expectUsable(names: readonly string[] = leaves): Promise<void> {
  const ca = await text('ca.crt')
  for (const name of names) parseMaterial({ file: name, pem: await text(`${name}.pem`), ca, now: clock })
}

describe('the first start', () => {
  test('makes a CA and a certificate for each service and the public address', async () => {
    const { changed, renewAt } = await ensure({ httpsNames: ['Llm.Example.org', '2001:DB8::7', '127.0.0.1'] })
    expect(changed).toEqual(['ca.key', 'ca.crt', ...leafFiles])
    expect((await readdir(folder)).toSorted()).toEqual([...changed].toSorted())
    await expectUsable()
    for (const name of leaves.slice(0, 4)) {
      const leaf = await certificate(name)
      expect(leaf.subjectAltName).toBe(`DNS:${name}.intramuros.internal`)
      expect(leaf.keyUsage.toSorted()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
      expect(leaf.ca).toBe(false)
    }
    const cli = await certificate('cli')
    expect(cli.subjectAltName).toBe('DNS:cli.intramuros.internal')
    expect(cli.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    const https = await certificate('https')
    expect(https.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    for (const name of ['localhost', 'llm.example.org']) expect(https.checkHost(name)).toBe(name)
    for (const address of ['127.0.0.1', '::1', '2001:db8::7']) expect(https.checkIP(address)).toBe(address)
    expect(https.validFromDate).toEqual(after(-5 * 60_000))
    expect(https.validToDate).toEqual(after(30 * day))
    expect(renewAt.getTime()).toBeGreaterThan(after(19 * day).getTime())
    expect(renewAt.getTime()).toBeLessThan(after(20 * day).getTime())
  })

  test('gives each certificate a key and a positive serial number of its own', async () => {
    await ensure()
    const certificates = [...(await Promise.all(leaves.map(certificate))), ...(await bundle())]
    expect(new Set(certificates.map(({ serialNumber }) => serialNumber)).size).toBe(1 + leaves.length)
    for (const { serialNumber } of certificates) expect(serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/)
    const keys = certificates.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' }))
    expect(new Set(keys).size).toBe(1 + leaves.length)
  })

  test('lets nobody but the owner read keys', async () => {
    await ensure()
    const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777
    expect(await mode(folder)).toBe(0o700)
    for (const name of ['ca.key', ...leafFiles]) expect(await mode(join(folder, name)), name).toBe(0o600)
    expect(await mode(join(folder, 'ca.crt'))).toBe(0o644)
    for (const name of ['ca.key', 'audit.pem']) await chmod(join(folder, name), 0o644)
    await chmod(folder, 0o755)
    expect((await ensure()).changed).toEqual([])
    expect(await mode(folder)).toBe(0o700)
    for (const name of ['ca.key', 'audit.pem']) expect(await mode(join(folder, name)), name).toBe(0o600)
  })

  test('makes what OpenSSL verifies by its strictest rules', async (context) => {
    const run = promisify(execFile)
    if (!(await run('openssl', ['version']).then(() => true, () => false))) context.skip()
    clock = new Date()
    await ensure()
    const strictly = ['verify', '-x509_strict', '-CAfile', join(folder, 'ca.crt')]
    const verify = (name: string, purpose: string): Promise<{ stdout: string }> =>
      run('openssl', [...strictly, '-purpose', purpose, join(folder, `${name}.pem`)])
    for (const [name, purpose] of [['gateway', 'sslclient'], ['gateway', 'sslserver'], ['https', 'sslserver']] as const) {
      const { stdout } = await verify(name, purpose)
      expect(stdout).toContain(': OK')
    }
    await expect(verify('https', 'sslclient')).rejects.toThrow('unsuitable certificate purpose')
  })
})

describe('leaves', () => {
  test('stay while nothing is due, and are all renewed when a third of their life is left', async () => {
    await ensure({ httpsNames: ['2001:DB8::7', 'A.example'] })
    clock = after(19 * day)
    expect((await ensure({ httpsNames: ['a.example', '2001:db8:0::7'] })).changed).toEqual([])
    clock = after(20 * day)
    const { changed, renewAt } = await ensure({ httpsNames: ['A.example', '2001:db8::7'] })
    expect(changed).toEqual(leafFiles)
    expect(renewAt.getTime()).toBeGreaterThan(after(39 * day).getTime())
    await expectUsable()
  })

  test('follow the names that are wanted', async () => {
    await ensure()
    expect((await ensure({ httpsNames: ['llm.example'] })).changed).toEqual(['https.pem'])
    expect((await ensure({ httpsNames: ['llm.example'] })).changed).toEqual([])
    expect((await ensure()).changed).toEqual(['https.pem'])
    expect((await certificate('https')).checkHost('llm.example')).toBeUndefined()
  })

  test('are replaced when they are damaged, cut off, mixed up or of another CA', async () => {
    await ensure()
    const whole = await text('gateway.pem')
    const key = whole.slice(0, whole.indexOf('-----BEGIN CERTIFICATE'))
    await writeFile(join(folder, 'gateway.pem'), whole.slice(0, -100))
    await writeFile(join(folder, 'tokenizer.pem'), whole)
    await writeFile(join(folder, 'audit.pem'), key + (await text('audit.pem')).slice(key.length))
    await rm(join(folder, 'https.pem'))
    await rm(join(folder, 'cli.pem'))
    const elsewhere = join(folder, '..', 'other')
    await ensure({ folder: elsewhere })
    await writeFile(join(folder, 'inference-worker.pem'), await readFile(join(elsewhere, 'inference-worker.pem')))
    expect((await ensure()).changed.toSorted()).toEqual(leafFiles.toSorted())
    await expectUsable()
  })

  test('are replaced when they may be used for something else', async () => {
    await ensure()
    const [ca] = await bundle()
    if (ca === undefined) throw new Error('no CA')
    const authority = { key: createPrivateKey(await text('ca.key')), certificate: ca }
    const leaf = { name: 'https', sans: ['localhost', '127.0.0.1', '::1'], usages: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] }
    const { key, certificate: wider } = await issueLeaf(authority, leaf, { notBefore: start, notAfter: after(30 * day) })
    await writeFile(join(folder, 'https.pem'), key.export({ type: 'pkcs8', format: 'pem' }) + wider.toString())
    expect((await ensure()).changed).toEqual(['https.pem'])
    expect((await certificate('https')).keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
  })

  test('that a wrong clock put into the future are replaced', async () => {
    await ensure()
    clock = after(25 * day)
    await ensure()
    clock = after(day)
    expect((await ensure()).changed).toEqual(leafFiles)
    await expectUsable()
  })

  test('end with their CA', async () => {
    await ensure({ caLifetimeMs: 10 * day })
    expect((await certificate('audit')).validToDate).toEqual(after(10 * day))
  })
})

describe('the CA', () => {
  test('is joined by the next one when a third of its life is left, and gives way when a sixth is left', async () => {
    await ensure()
    const [first] = await bundle()
    clock = after(6.6 * year)
    expect((await ensure()).changed).toEqual(leafFiles)

    clock = after(6.7 * year)
    expect((await ensure()).changed).toEqual(expect.arrayContaining(['ca-next.key', 'ca.crt']))
    const both = await bundle()
    expect(both).toHaveLength(2)
    expect(both[0]?.serialNumber).toBe(first?.serialNumber)
    expect((await certificate('gateway')).issuer).toBe(first?.subject)
    await expectUsable()
    clock = after(8.2 * year)
    expect((await ensure()).changed).toEqual(leafFiles)
    expect((await certificate('gateway')).issuer).toBe(first?.subject)
    expect((await ensure()).changed).toEqual([])

    clock = after(8.4 * year)
    const old = await text('gateway.pem')
    expect((await ensure()).changed).toEqual(['ca.key', ...leafFiles])
    expect((await certificate('gateway')).issuer).toBe(both[1]?.subject)
    expect(await bundle()).toHaveLength(2)
    expect(await text('gateway.pem')).not.toBe(old)
    await expectUsable()

    clock = after(10.1 * year)
    await ensure()
    expect((await bundle()).map(({ serialNumber }) => serialNumber)).toEqual([both[1]?.serialNumber])
    await expectUsable()
  })

  test('signs nothing in the first minute after it was published, however late that is', async () => {
    await ensure()
    clock = after(9.5 * year)
    const { renewAt } = await ensure()
    const [first] = await bundle()
    expect((await certificate('gateway')).issuer).toBe(first?.subject)
    expect(renewAt.getTime() - clock.getTime()).toBe(60_000)
    clock = renewAt
    expect((await ensure()).changed).toEqual(['ca.key', ...leafFiles])
    await expectUsable()
  })

  test('that has expired gives way at once', async () => {
    await ensure()
    clock = after(11 * year)
    await ensure()
    await expectUsable()
    // Had it been dropped before its key was, a crash in between would have left a key without a certificate.
    expect(await bundle()).toHaveLength(2)
    expect((await ensure()).changed).toEqual(['ca.crt'])
    expect(await bundle()).toHaveLength(1)
    expect((await ensure()).changed).toEqual([])
  })

  test('gives way to a third one when the next one has expired unused', async () => {
    await ensure()
    clock = after(6.7 * year)
    await ensure()
    clock = after(17 * year)
    await ensure()
    await expectUsable()
    await ensure()
    expect(await bundle()).toHaveLength(1)
  })

  test.each(['ca.key', 'ca.crt'])('with a damaged %s is an error that names the file and the way out', async (name) => {
    await ensure()
    const whole = await text(name)
    for (const damage of ['', 'nonsense', whole.slice(0, -40), whole.replace(/[A-Za-z0-9+/]{20}/, 'AAAAAAAAAAAAAAAAAAAA')]) {
      await writeFile(join(folder, name), damage)
      const words = new RegExp(`${name}.*delete the folder ${folder}.*clients then need the new ca\\.crt`, 's')
      await expect(ensure(), damage).rejects.toThrow(words)
    }
    await rm(join(folder, name))
    await expect(ensure()).rejects.toThrow(`${join(folder, name)} is missing or damaged`)
  })

  test('with the key of another CA is an error', async () => {
    await ensure()
    const elsewhere = join(folder, '..', 'other')
    await ensure({ folder: elsewhere })
    await writeFile(join(folder, 'ca.key'), await readFile(join(elsewhere, 'ca.key')))
    await expect(ensure()).rejects.toThrow('do not match')
  })

  test('is not replaced because a clock stands before it', async () => {
    await ensure()
    const before = await text('ca.crt')
    clock = new Date('1970-01-02T00:00:00Z')
    await expect(ensure()).rejects.toThrow('Set the clock')
    expect(await text('ca.crt')).toBe(before)
  })
})

/** A folder where a file is to be written makes the writing fail there, as a crash would end it there. */
async function ensureUntil(name: string): Promise<void> {
  const obstacle = join(folder, `${name}.new`)
  await mkdir(obstacle, { recursive: true })
  await expect(ensure()).rejects.toThrow('EISDIR')
  await rmdir(obstacle)
}

describe('a crash', () => {
  test.each(['ca.key', 'ca.crt', ...leafFiles])('at the first start before %s is mended by the next start', async (name) => {
    await ensureUntil(name)
    await ensure()
    await expectUsable()
    expect(await bundle()).toHaveLength(1)
    expect((await ensure()).changed).toEqual([])
  })

  test.each(['ca-next.key', 'ca.crt', ...leafFiles])('during a change of the CA before %s leaves all usable', async (name) => {
    clock = after(-7 * year)
    await ensure()
    clock = after(-0.34 * year)
    await ensure({ leafLifetimeMs: 0.45 * year })
    expect(await bundle()).toHaveLength(1)
    clock = start // both the CA and the leaves have less than a third of their lives left
    await ensureUntil(name)
    await expectUsable()
    await ensure()
    await expectUsable()
    expect(await bundle()).toHaveLength(2)
    expect((await ensure()).changed).toEqual([])
  })

  test.each(leafFiles)('after the change of the CA before %s leaves all usable', async (name) => {
    clock = after(-8.3 * year)
    await ensure()
    clock = after(-day)
    await ensure({ leafLifetimeMs: year })
    clock = after(0.1 * year)
    await ensureUntil(name)
    await expectUsable()
    await ensure()
    await expectUsable()
    expect((await certificate(name.slice(0, -4))).issuer).toBe((await bundle())[1]?.subject)
  })

  test('leaves no key behind that is readable to others, and half-written files are overwritten', async () => {
    await ensure()
    await writeFile(join(folder, 'gateway.pem.new'), 'half', { mode: 0o644 })
    clock = after(21 * day)
    await ensure()
    expect((await stat(join(folder, 'gateway.pem'))).mode & 0o777).toBe(0o600)
    expect(await readdir(folder)).not.toContain('gateway.pem.new')
    await expectUsable()
  })
})

test('the private key stands before its certificate, in one file', async () => {
  await ensure()
  const pem = await text('audit.pem')
  expect(pem.match(/-----[A-Z ]+-----/g)).toEqual([
    '-----BEGIN PRIVATE KEY-----',
    '-----END PRIVATE KEY-----',
    '-----BEGIN CERTIFICATE-----',
    '-----END CERTIFICATE-----',
  ])
  expect((await certificate('audit')).checkPrivateKey(createPrivateKey(pem))).toBe(true)
})
