import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, utimes, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encryptFile } from './encrypt.ts'
import { digestOf, storedPath } from './store.ts'
import { type EncryptedEntry, encryptedEntry } from './test-support/encrypted-entry.ts'
import { type VerifiedFile, verifyModel } from './verify.ts'

const content = randomBytes(2_000_000)
let home = ''
let made: EncryptedEntry
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-verify-'))
  made = await encryptedEntry(home, content)
})
afterEach(() => rm(home, { recursive: true }))

async function verify(): Promise<VerifiedFile[]> {
  return await verifyModel(made.entry, { home, readKey: async () => await Promise.resolve([made.key.identity]), signal: AbortSignal.timeout(10_000) })
}

test('the encrypted file and the plain one are read to their ends, and no marker is believed', async () => {
  const plain = storedPath(home, made.entry)
  await writeFile(plain, content)
  expect((await digestOf(plain, home)).sha256).toBe(made.entry.sha256)
  expect(await verify()).toEqual([
    { id: 'own', status: 'ok', path: made.path, encrypted: true, size: content.length, sha256: made.entry.sha256, pinned: made.entry.sha256 },
    { id: 'own', status: 'ok', path: plain, encrypted: false, size: content.length, sha256: made.entry.sha256, pinned: made.entry.sha256 },
  ])
  // Changed behind the marker's back, as far as a program can.
  const { atime, mtime } = await stat(plain)
  const other = Buffer.from(content)
  other.writeUInt8(other.readUInt8(5) ^ 1, 5)
  await writeFile(plain, other)
  await utimes(plain, atime, mtime)
  expect((await verify()).map(({ status }) => status)).toEqual(['ok', 'mismatch'])
})

test('a flipped bit in the encrypted file is found', async () => {
  const sealed = await readFile(made.path)
  sealed.writeUInt8(sealed.readUInt8(1_500_000) ^ 8, 1_500_000)
  await writeFile(made.path, sealed)
  expect(await verify()).toMatchObject([{ status: 'unreadable', message: expect.stringContaining('damaged or cut short') as unknown }])
})

test('another model, one without a digest, and none', async () => {
  const path = storedPath(home, made.entry)
  await writeFile(path, 'other')
  expect((await verify())[1]).toMatchObject({ status: 'mismatch', size: 5 })
  await Promise.all([rm(path), rm(made.path)])
  expect(await verify()).toEqual([{ id: 'own', status: 'missing', message: 'no file of this model is here' }])
  const { sha256: _, ...unpinned } = made.entry
  const here = { ...unpinned, from: { path: join(home, 'plain') } }
  const [found] = await verifyModel(here, { home, readKey: () => Promise.reject(new Error('not needed')), signal: AbortSignal.timeout(10_000) })
  expect(found).toMatchObject({ status: 'unpinned', sha256: made.entry.sha256 })
})

test('encryption leaves nothing behind when it fails, and replaces nothing by less', async () => {
  const folder = dirname(made.path)
  const before = await readFile(made.path)
  const request = { from: join(home, 'plain'), to: made.path, recipients: [made.key.recipient], signal: new AbortController().signal }
  await expect(encryptFile({ ...request, sha256: 'a'.repeat(64) })).rejects.toThrow('it was not encrypted')
  await expect(encryptFile({ ...request, sha256: undefined, recipients: ['age1x'] })).rejects.toThrow('no age recipient')
  await expect(encryptFile({ ...request, sha256: undefined, signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow('stopped')
  expect(await readdir(folder)).toHaveLength(1)
  expect((await readFile(made.path)).equals(before)).toBe(true)
  await encryptFile({ ...request, sha256: made.entry.sha256 })
  expect((await stat(made.path)).mode & 0o777).toBe(0o600)
})
