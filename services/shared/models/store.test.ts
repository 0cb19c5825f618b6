import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ModelEntry } from './catalogue.ts'
import { digestOf, objection, presentPath, putInPlace, storedPath } from './store.ts'

const content = Buffer.from('weights')
const sha256 = createHash('sha256').update(content).digest('hex')

let home: string
let entry: ModelEntry & { sha256: string }

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-store-'))
  entry = {
    id: 'm',
    file: 'm.gguf',
    size: content.length,
    sha256,
    licence: 'MIT',
    contextLength: 1,
    openness: { weights: true, code: true, data: true, paper: true },
    from: { path: join(home, 'own.gguf') },
  }
  await mkdir(join(home, 'models'))
})

afterEach(async () => {
  await rm(home, { recursive: true })
})

async function markers(): Promise<string[]> {
  const folder = join(home, 'models/checked')
  return (await readdir(folder).catch(() => [])).map((name) => join(folder, name))
}

test('a model is present in the store, or where its entry says, with the right bytes alone', async () => {
  expect(await presentPath(entry, home)).toBeUndefined()
  await writeFile(join(home, 'own.gguf'), content)
  expect(await presentPath(entry, home)).toBe(join(home, 'own.gguf'))
  await writeFile(storedPath(home, entry), content)
  expect(await presentPath(entry, home)).toBe(storedPath(home, entry))
  await writeFile(storedPath(home, entry), 'Weights')
  expect(await presentPath(entry, home)).toBe(join(home, 'own.gguf'))
  await writeFile(join(home, 'own.gguf'), 'other')
  expect(await presentPath(entry, home)).toBeUndefined()
})

test('what stands against a file is said in plain words', async () => {
  const path = join(home, 'own.gguf')
  expect(await objection(entry, path, home)).toBe('is not there')
  await writeFile(path, 'long enough')
  expect(await objection(entry, path, home)).toBe('has 11 bytes instead of 7')
  await writeFile(path, 'Weights')
  expect(await objection(entry, path, home)).toMatch(/^has the SHA-256 [0-9a-f]{64} instead of/)
  expect(await objection(entry, join(home, 'models'), home)).toBe('is not a file')
})

test('a digest is remembered while size, times and inode stay, and no longer', async () => {
  const path = join(home, 'own.gguf')
  const then = new Date('2026-01-01T00:00:00Z')
  await writeFile(path, content)
  await utimes(path, then, then)
  expect(await digestOf(path, home)).toEqual({ size: 7, sha256 })
  const [marker] = await markers()
  if (marker === undefined) throw new Error('no marker')
  expect((await stat(marker)).mode & 0o777).toBe(0o600)

  // A marker with a digest of its own shows whether it is believed.
  const lie = (await readFile(marker, 'utf8')).replace(sha256, 'f'.repeat(64))
  await writeFile(marker, lie)
  expect((await digestOf(path, home)).sha256).toBe('f'.repeat(64))

  // Same size, inode and time of the last change, as far as a program can set it.
  await writeFile(path, 'Weights')
  await utimes(path, then, then)
  expect((await digestOf(path, home)).sha256).not.toMatch(/^f+$/)

  await writeFile(path, content)
  await digestOf(path, home)
  await writeFile(marker, '{"damaged": true}')
  expect((await digestOf(path, home)).sha256).toBe(sha256)

  await writeFile(marker, lie)
  await writeFile(join(home, 'other'), content)
  await rename(join(home, 'other'), path)
  expect((await digestOf(path, home)).sha256).toBe(sha256)
})

test('a file put in place is private, whole and already checked', async () => {
  const partial = join(home, 'models/part')
  await writeFile(partial, content, { mode: 0o644 })
  await putInPlace(partial, storedPath(home, entry), home, sha256)
  expect((await stat(storedPath(home, entry))).mode & 0o777).toBe(0o600)
  expect((await readdir(join(home, 'models'))).sort()).toEqual([`${sha256.slice(0, 12)}-m.gguf`, 'checked'].sort())
  expect(await markers()).toHaveLength(1)
  expect(await presentPath(entry, home)).toBe(storedPath(home, entry))
})
