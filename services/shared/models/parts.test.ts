import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeMetadata, serialiseGguf } from '../../../test/support/gguf-file.ts'
import { newKeyPair } from '../age/keys.ts'
import type { ModelEntry } from './catalogue.ts'
import { encryptFile } from './encrypt.ts'
import { filesOf, isInParts, partsProblem } from './parts.ts'
import { modelPath } from './served.ts'
import { objection, presentPath, storedPath } from './store.ts'
import { flipped, type SplitModel, splitModel, writeSplitModel } from './test-support/split-model.ts'
import { type VerifiedFile, verifyModel } from './verify.ts'

const model: SplitModel = splitModel()
const [firstContent, second, third] = model.contents
let home = ''
let folder = ''
let paths: string[] = []
let entry: ModelEntry & { sha256: string }
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-parts-'))
  folder = join(home, 'own')
  paths = await writeSplitModel(folder, model)
  entry = { ...model.entry, from: { path: at(0) } }
})
afterEach(() => rm(home, { recursive: true }))

function at(part: number): string {
  return paths[part] ?? ''
}

async function verified(of: ModelEntry = entry): Promise<VerifiedFile[]> {
  return await verifyModel(of, { home, readKey: () => Promise.reject(new Error('not needed')), signal: AbortSignal.timeout(10_000) })
}

/** What a service says that starts with this entry. */
async function refusal(of: ModelEntry = entry): Promise<{ message: string; status: number }> {
  expect(await presentPath(of, home)).toBeUndefined()
  const thrown: unknown = await modelPath(of, home).catch((error: unknown) => error)
  expect(thrown).toMatchObject({ name: 'FatalStartError' })
  return thrown as { message: string; status: number }
}

test('a model of which all parts are pinned is served, where it lies and from the store', async () => {
  expect(await modelPath(entry, home)).toBe(at(0))
  expect((await verified()).map(({ path, status }) => [path, status])).toEqual(paths.map((path) => [path, 'ok']))
  const stored = storedPath(home, entry)
  await writeSplitModel(join(home, 'models'), model, basename(stored))
  expect(await modelPath(entry, home)).toBe(stored)
})

test.each([1, 2])('a byte that differs in part %i + 1 is found by everything that checks, and the part named', async (part) => {
  await modelPath(entry, home)
  await writeFile(at(part), flipped(model.contents[part]))
  const reason = `is the first of 3 parts, of which ${basename(at(part))} has the SHA-256 `
  expect(await objection(entry, at(0), home)).toContain(reason)
  expect(await refusal()).toMatchObject({ message: expect.stringContaining(`${at(0)} ${reason}`) as string, status: 66 })
  const found = await verified()
  expect(found.map(({ status }) => status)).toEqual([0, 1, 2].map((index) => (index === part ? 'mismatch' : 'ok')))
  expect(found[part]).toMatchObject({ path: at(part), pinned: entry.parts?.[part - 1]?.sha256 })
})

test('a byte that differs in the first part is found, and the others are told of all the same', async () => {
  await writeFile(at(0), flipped(firstContent))
  expect((await refusal()).message).toContain(`${at(0)} has the SHA-256 `)
  expect((await verified()).map(({ status }) => status)).toEqual(['mismatch', 'ok', 'ok'])
})

test('a part that is missing, of another size, or out of reach is named', async () => {
  await rename(at(1), join(folder, 'away'))
  expect((await refusal()).message).toContain('of which m-00002-of-00003.gguf is not there')
  expect(await verified()).toMatchObject([{ status: 'ok' }, { status: 'missing', path: at(1) }, { status: 'ok' }])
  await writeFile(at(1), 'short')
  expect((await refusal()).message).toContain(`of which m-00002-of-00003.gguf has 5 bytes instead of ${second?.length}`)
  await rm(at(1))
  await rename(join(folder, 'away'), at(1))
  if (process.getuid?.() === 0) return
  await chmod(at(2), 0)
  expect((await refusal()).message).toContain('of which m-00003-of-00003.gguf may not be read by this user')
})

test('parts in another order, on the disk or in the entry, are refused', async () => {
  const swapped = { ...entry, parts: [...(entry.parts ?? [])].reverse() }
  expect((await refusal(swapped)).message).toMatch(/of which m-00002-of-00003\.gguf has the SHA-256 /)
  expect((await verified(swapped)).map(({ status }) => status)).toEqual(['ok', 'mismatch', 'mismatch'])
  await Promise.all([writeFile(at(1), third ?? ''), writeFile(at(2), second ?? '')])
  expect((await refusal()).message).toMatch(/of which m-00002-of-00003\.gguf has the SHA-256 /)
})

test('an entry that pins the first part alone is refused with what to add, before any file is looked at', async () => {
  const { parts: _, ...alone } = entry
  const { message, status } = await refusal(alone)
  expect(message).toContain('The catalogue\'s entry "m" pins the first of 3 parts alone (file): add the SHA-256 of the other 2, in their order, as parts: [{ sha256: … }, …]. "intramuros models show m --digest" prints them')
  expect(status).toBe(78)
  expect((await verified(alone))[0]).toMatchObject({ status: 'mismatch', message: expect.stringContaining('pins the first of 3 parts alone') as string })
  // The name that is loaded counts, whatever the entry calls the file.
  expect((await refusal({ ...alone, file: 'm.gguf' })).message).toContain('alone (from.path)')
})

test('one without any digest, of files here, is served as they are', async () => {
  const { parts: _, sha256: __, size: ___, ...unpinned } = entry
  await writeFile(at(1), flipped(second))
  expect(await modelPath(unpinned, home)).toBe(at(0))
  expect((await verified(unpinned)).map(({ status }) => status)).toEqual(['unpinned', 'unpinned', 'unpinned'])
})

test('digests for more or fewer parts than the names tell are refused', () => {
  const [one] = model.entry.parts
  if (one === undefined) throw new Error('no parts')
  expect(partsProblem({ ...entry, parts: [one] })).toContain('has the SHA-256 of 2 parts, and file is called as the first of 3')
  expect(partsProblem({ ...entry, parts: [one, one, one] })).toContain('has the SHA-256 of 4 parts')
  expect(partsProblem({ ...entry, file: 'm.gguf', from: { path: '/m.gguf' } })).toContain('must end in -00001-of-00003.gguf')
  expect(partsProblem({ ...entry, from: { path: '/m-00002-of-00003.gguf' } })).toContain('from.path must be that, …-00001-of-00003.gguf')
  const { parts: _, ...single } = { ...entry, file: 'm.gguf', from: { path: '/m-00001-of-00001.gguf' } }
  expect([partsProblem(single), isInParts(single), partsProblem(entry), isInParts(entry)]).toEqual([undefined, false, undefined, true])
})

test('a file that says of itself that it has no further parts is not the first of three', async () => {
  const content = Buffer.concat(serialiseGguf({ metadata: new Map([['general.architecture', encodeMetadata('llama')]]), tensors: [], data: Buffer.alloc(0) }))
  await writeFile(at(0), content)
  const { createHash } = await import('node:crypto')
  const pinned = { ...entry, size: content.length, sha256: createHash('sha256').update(content).digest('hex') }
  expect((await refusal(pinned)).message).toContain('is not the first of 3 parts, as which the entry names it')
  expect((await verified(pinned))[0]).toMatchObject({ status: 'mismatch', path: at(0) })
})

test('encrypted parts are refused, with the way out', async () => {
  const { recipient } = await newKeyPair()
  const to = `${at(0)}.age`
  await encryptFile({ from: at(0), to, recipients: [recipient], sha256: entry.sha256, signal: AbortSignal.timeout(10_000) })
  // The plain files beside it are served.
  expect(await modelPath({ ...entry, from: { path: at(0) } }, home)).toBe(at(0))
  const sealed = { ...entry, from: { path: to } }
  expect((await refusal(sealed)).message).toContain(`${to} is encrypted, and models in parts are served plain only: merge the parts (llama-gguf-split --merge)`)
  expect(await verified(sealed)).toMatchObject([{ status: 'unreadable', path: to, encrypted: true }])
  const { parts: _, sha256: __, size: ___, ...unpinned } = sealed
  expect((await refusal(unpinned)).message).toContain('models in parts are served plain only')
})

test('each part is fetched under its own name from where the first is', () => {
  const from = { hub: { repo: 'o/m', revision: 'main', file: 'Q4/m-00001-of-00003.gguf' }, package: { name: 'm', version: '1', member: 'm/m-00001-of-00003.gguf' }, path: '/here' }
  expect(filesOf({ ...entry, from }).map(({ file, sha256, from: { hub, package: wheel } }) => [file, sha256, hub?.file, wheel?.member])).toEqual(
    [entry.sha256, ...(entry.parts ?? []).map(({ sha256 }) => sha256)].map((sha256, index) => {
      const name = `m-0000${index + 1}-of-00003.gguf`
      return [name, sha256, `Q4/${name}`, `m/${name}`]
    }),
  )
})
