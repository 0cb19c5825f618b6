import { copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createIdentities, type Identities, silent } from '../../../test/support/identities.ts'
import type { Logger } from '../log.ts'
import { type Identity, identityPlace, type IdentityOptions, watchIdentity } from './identity.ts'
import type { Material } from './material.ts'

let ours: Identities
let others: Identities
let folder: string
let identity: Identity | undefined

beforeAll(async () => {
  ours = await createIdentities()
  others = await createIdentities()
})
afterAll(async () => {
  await ours.close()
  await others.close()
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-identity-'))
  await copyFile(join(ours.folder, 'ca.crt'), path('ca.crt'))
  await copyFile(join(ours.folder, 'gateway.pem'), path('gateway.pem'))
})
afterEach(async () => {
  identity?.close()
  identity = undefined
  await rm(folder, { recursive: true, force: true })
})

const path = (name: string): string => join(folder, name)
const pem = (name: string, from = ours): Promise<string> => readFile(join(from.folder, name), 'utf8')
const halves = (text: string): [string, string] => {
  const at = text.indexOf('-----BEGIN CERTIFICATE')
  return [text.slice(0, at), text.slice(at)]
}
const texts = ({ key, cert, ca }: Material): string[] => [key, cert, ca].map(String)

async function open(more: Partial<IdentityOptions> = {}): Promise<Identity> {
  identity = await watchIdentity({ file: path('gateway.pem'), caFile: path('ca.crt'), log: silent, pollMs: 100, ...more })
  return identity
}

function nextChange(from: Identity): Promise<Material> {
  return new Promise((resolve) => {
    const unsubscribe = from.onChange((material) => {
      unsubscribe()
      resolve(material)
    })
  })
}

/** A log whose next warning or error can be waited for. */
function listeningLog(): { log: Logger; lines: { level: string; fields: unknown; message: unknown }[]; next(): Promise<void> } {
  const lines: { level: string; fields: unknown; message: unknown }[] = []
  let wake = (): void => undefined
  const line = (level: string) => (fields: unknown, message?: unknown) => {
    lines.push({ level, fields, message })
    wake()
  }
  return {
    log: { debug() {}, info() {}, warn: line('warn'), error: line('error') },
    lines,
    next: () => new Promise((resolve) => (wake = resolve)),
  }
}

async function replace(name: string, content: string): Promise<void> {
  await writeFile(path(`${name}.new`), content)
  await rename(path(`${name}.new`), path(name))
}

test('reads the key, the certificate and the CAs', async () => {
  const [key, cert] = halves(await pem('gateway.pem'))
  expect(texts((await open()).current())).toEqual([key, cert, await pem('ca.crt')])
})

test('the launcher writes a file for each service; a mounted Secret is a folder of its own', async () => {
  expect(await identityPlace(folder, 'gateway')).toEqual({ file: path('gateway.pem'), caFile: path('ca.crt') })
  await mkdir(path('gateway'))
  expect(await identityPlace(folder, 'gateway')).toEqual({ file: path('gateway'), caFile: path('gateway/ca.crt') })
})

test('a mounted Secret is read, and taken up when kubelet swaps it, but not half', async () => {
  const write = async (version: string, keyOf: string, certificateOf: string): Promise<void> => {
    await mkdir(path(version))
    await writeFile(path(`${version}/tls.key`), halves(await pem(keyOf))[0])
    await writeFile(path(`${version}/tls.crt`), halves(await pem(certificateOf))[1])
    await writeFile(path(`${version}/ca.crt`), await pem('ca.crt'))
  }
  /** As kubelet does it: the names are links into ..data, which is a link that is renamed into place. */
  const swap = async (version: string): Promise<void> => {
    await symlink(path(version), path('secret/..data.new'))
    await rename(path('secret/..data.new'), path('secret/..data'))
  }
  await mkdir(path('secret'))
  for (const name of ['tls.key', 'tls.crt', 'ca.crt']) await symlink(join('..data', name), path(`secret/${name}`))
  await write('v1', 'gateway.pem', 'gateway.pem')
  await swap('v1')
  const { log, lines, next } = listeningLog()
  const opened = await open({ file: path('secret'), caFile: path('secret/ca.crt'), log })
  expect(String(opened.current().cert)).toContain(halves(await pem('gateway.pem'))[1].trim())

  const warned = next()
  await write('v2', 'gateway.pem', 'audit.pem')
  await swap('v2')
  await warned
  expect(lines.at(-1)).toMatchObject({ level: 'warn', fields: { file: 'secret', err: { reason: 'key_mismatch' } } })
  expect(String(opened.current().cert)).toContain(halves(await pem('gateway.pem'))[1].trim())

  const changed = nextChange(opened)
  await write('v3', 'audit.pem', 'audit.pem')
  await swap('v3')
  expect(String((await changed).cert)).toContain(halves(await pem('audit.pem'))[1].trim())
})

describe('at the start it refuses', () => {
  /** Contents of the two files. */
  type Make = () => Promise<{ pem?: string; ca?: string }>
  const half = (text: string): string => text.slice(0, -60)
  const keyOf = async (name: string): Promise<string> => halves(await pem(name))[0]
  const certificateOf = async (name: string): Promise<string> => halves(await pem(name))[1]
  test.each<[string, string, Make]>([
    ['no private key', 'private_key_unreadable', async () => ({ pem: await certificateOf('gateway.pem') })],
    ['a half-written key', 'private_key_unreadable', async () => ({ pem: (await pem('gateway.pem')).slice(0, 150) })],
    ['no certificate', 'certificate_unreadable', async () => ({ pem: await keyOf('gateway.pem') })],
    ['a half-written certificate', 'certificate_unreadable', async () => ({ pem: half(await pem('gateway.pem')) })],
    ['a cut chain', 'certificate_unreadable', async () => ({ pem: (await pem('gateway.pem')) + half(await pem('ca.crt')) })],
    ['an empty file', 'private_key_unreadable', () => Promise.resolve({ pem: '' })],
    ['an empty CA file', 'ca_unreadable', () => Promise.resolve({ ca: '' })],
    ['a cut CA file', 'ca_unreadable', async () => ({ ca: (await pem('ca.crt')) + half(await pem('ca.crt', others)) })],
    ["another's key", 'key_mismatch', async () => ({ pem: (await keyOf('audit.pem')) + (await certificateOf('gateway.pem')) })],
    ['a certificate of another CA', 'not_issued_by_ca', async () => ({ pem: await pem('gateway.pem', others) })],
  ])('%s', async (_, reason, make) => {
    const made = await make()
    if (made.pem !== undefined) await writeFile(path('gateway.pem'), made.pem)
    if (made.ca !== undefined) await writeFile(path('ca.crt'), made.ca)
    const opening = open()
    await expect(opening).rejects.toMatchObject({ name: 'UnusableMaterial', reason })
    await expect(opening).rejects.toThrow(path('gateway.pem'))
  })

  test('a certificate before and after its life', async () => {
    const day = 86_400_000
    await expect(open({ now: () => new Date(Date.now() + 31 * day) })).rejects.toMatchObject({ reason: 'expired' })
    await expect(open({ now: () => new Date(Date.now() - day) })).rejects.toMatchObject({ reason: 'not_yet_valid' })
  })

  test('files that are not there', async () => {
    await rm(path('ca.crt'))
    await expect(open()).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('it takes up', () => {
  test('a file that was replaced', async () => {
    const watched = await open({ pollMs: 3_600_000 })
    // Twice: the first one may still be seen by the look that follows the start, the second one by the watch alone.
    for (const name of ['tokenizer.pem', 'audit.pem']) {
      const changed = nextChange(watched)
      await replace('gateway.pem', await pem(name))
      const [key, cert] = halves(await pem(name))
      expect(texts(await changed)).toEqual([key, cert, await pem('ca.crt')])
      expect(watched.current()).toBe(await changed)
    }
  })

  test('a bundle that got another CA', async () => {
    const watched = await open()
    const changed = nextChange(watched)
    const both = (await pem('ca.crt')) + (await pem('ca.crt', others))
    await replace('ca.crt', both)
    expect(String((await changed).ca)).toBe(both)
  })

  test('a change that the watch does not see', async () => {
    await mkdir(path('elsewhere'))
    await rename(path('gateway.pem'), path('elsewhere/gateway.pem'))
    await symlink('elsewhere/gateway.pem', path('gateway.pem'))
    const watched = await open({ pollMs: 20 })
    for (const name of ['tokenizer.pem', 'audit.pem']) {
      const changed = nextChange(watched)
      await writeFile(path('elsewhere/gateway.pem'), await pem(name))
      expect(String((await changed).cert)).toBe(halves(await pem(name))[1])
    }
  })

  test("a swap of the link to the files' folder, as Kubernetes does it", async () => {
    for (const [version, from, name] of [['v1', ours, 'gateway.pem'], ['v2', others, 'audit.pem']] as const) {
      await mkdir(path(version))
      await copyFile(join(from.folder, name), path(`${version}/gateway.pem`))
      await copyFile(join(from.folder, 'ca.crt'), path(`${version}/ca.crt`))
    }
    await symlink('v1', path('..data'))
    for (const name of ['gateway.pem', 'ca.crt']) {
      await rm(path(name))
      await symlink(`..data/${name}`, path(name))
    }
    const changed = nextChange(await open({ pollMs: 3_600_000 }))
    await symlink('v2', path('..data_tmp'))
    await rename(path('..data_tmp'), path('..data'))
    const [key, cert] = halves(await pem('audit.pem', others))
    expect(texts(await changed)).toEqual([key, cert, await pem('ca.crt', others)])
  })
})

describe('it keeps the last good one, and warns once', () => {
  test('while a file is half-written or mismatched, until it is whole', async () => {
    const { log, lines, next } = listeningLog()
    let looks = 0
    const now = (): Date => {
      looks += 1
      return new Date()
    }
    const watched = await open({ log, pollMs: 5, now })
    const before = watched.current()
    const [auditKey, auditCert] = halves(await pem('audit.pem'))
    const bad = [
      [auditKey + halves(await pem('gateway.pem'))[1], 'key_mismatch'],
      [auditKey + auditCert.slice(0, -80), 'certificate_unreadable'],
      [await pem('gateway.pem', others), 'not_issued_by_ca'],
    ] as const
    for (const [content, reason] of bad) {
      const warned = next()
      await replace('gateway.pem', content)
      await warned
      const seen = looks
      await expect.poll(() => looks).toBeGreaterThan(seen + 6)
      expect(lines.at(-1)).toMatchObject({ level: 'warn', fields: { file: 'gateway.pem', err: { reason } } })
      expect(watched.current()).toBe(before)
    }
    expect(lines).toHaveLength(bad.length)
    expect(JSON.stringify(lines)).not.toContain('PRIVATE KEY')
    const changed = nextChange(watched)
    await replace('gateway.pem', auditKey + auditCert)
    expect(String((await changed).cert)).toBe(auditCert)
  })

  test('while a file is away', async () => {
    const { log, lines, next } = listeningLog()
    const watched = await open({ log, pollMs: 10 })
    const before = watched.current()
    const warned = next()
    await rm(path('gateway.pem'))
    await warned
    expect(lines).toMatchObject([{ level: 'warn', fields: { err: { code: 'ENOENT' } } }])
    expect(watched.current()).toBe(before)
  })

  test('when the one in use has expired', async () => {
    const { log, lines, next } = listeningLog()
    let now = new Date()
    await open({ log, pollMs: 10, now: () => now })
    const told = next()
    now = new Date(Date.now() + 31 * 86_400_000)
    await told
    expect(lines).toMatchObject([{ level: 'error', message: 'the certificate in use has expired: peers refuse it' }])
  })
})

test('a listener that fails keeps the others from nothing', async () => {
  const { log, lines } = listeningLog()
  const watched = await open({ log })
  watched.onChange(() => {
    throw new Error('no')
  })
  const changed = nextChange(watched)
  await replace('gateway.pem', await pem('audit.pem'))
  await changed
  expect(lines).toMatchObject([{ level: 'error', fields: { err: { type: 'Error' } } }])
})

test('tells nobody who has unsubscribed', async () => {
  const watched = await open()
  let told = 0
  watched.onChange(() => (told += 1))()
  const changed = nextChange(watched)
  await replace('gateway.pem', await pem('audit.pem'))
  await changed
  expect(told).toBe(0)
})
