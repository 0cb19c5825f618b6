import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { loadConfig } from '../config/load.ts'
import { newKeyPair } from '../age/keys.ts'
import { FatalStartError } from '../supervision.ts'
import { KeyCommandError } from './encryption-error.ts'
import { createModelOpener, type ModelOpener, type ModelPart } from './open-model.ts'
import { presentPath, storedPath } from './store.ts'
import { type EncryptedEntry, encryptedEntry } from './test-support/encrypted-entry.ts'

// tmpfs is Linux' own.
const skip = process.platform !== 'linux'

/** A GGUF without metadata or tensors: a head of 24 bytes, then what would be weights. */
const head = Buffer.concat([Buffer.from('GGUF'), Buffer.from([3, 0, 0, 0]), Buffer.alloc(16)])
const content = Buffer.concat([head, randomBytes(3_000_000)])

let home = ''
let made: EncryptedEntry
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-open-'))
  made = await encryptedEntry(home, content)
})
afterEach(() => rm(home, { recursive: true }))

const log = { info: vi.fn<() => void>(), warn: vi.fn<() => void>(), error: vi.fn<() => void>() }

function opener(settings: Record<string, string> = { KEY_FILE: made.keyFile }, env: NodeJS.ProcessEnv = {}): ModelOpener {
  const variables = Object.entries(settings).map(([name, value]): [string, string] => [`INTRAMUROS_MODEL_ENCRYPTION_${name}`, value])
  return createModelOpener({ config: loadConfig({ env: { INTRAMUROS_HOME: home, ...Object.fromEntries(variables) } }), env, log })
}

async function failure(open = opener(), part: ModelPart = 'everything'): Promise<string> {
  const thrown: unknown = await open(made.entry, part).catch((error: unknown) => error)
  if (!(thrown instanceof FatalStartError)) throw new Error('the model was opened', { cause: thrown })
  expect(thrown.message).not.toContain(made.key.identity.slice(16, 40))
  return thrown.message
}

test('everything: the plaintext, in memory, until it is closed', { skip }, async () => {
  expect(await presentPath(made.entry, home)).toBe(made.path)
  const { path, source, close } = await opener()(made.entry, 'everything')
  expect(source).toBe(made.path)
  expect((await readFile(path)).equals(content)).toBe(true)
  await close()
  await expect(stat(path)).rejects.toThrow('ENOENT')
})

test('vocabulary: the head of a file of full size, which takes no room for the rest', { skip }, async () => {
  const { path, close } = await opener()(made.entry, 'vocabulary')
  const { size, blocks } = await stat(path)
  expect(size).toBe(content.length)
  expect(blocks * 512).toBeLessThan(100_000)
  const file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(24), 0, 24, 0)
  await file.close()
  expect(buffer.equals(head)).toBe(true)
  await close()
})

test('the encrypted file is preferred to the plain one, which needs no key', { skip }, async () => {
  await writeFile(storedPath(home, made.entry), content)
  expect(await presentPath(made.entry, home)).toBe(made.path)
  await rm(made.path)
  const { path, source } = await opener({})(made.entry, 'everything')
  expect([path, source]).toEqual([storedPath(home, made.entry), storedPath(home, made.entry)])
})

test('the variable is read once for all models, and is gone afterwards', { skip }, async () => {
  const env = { KEY: made.key.identity }
  const open = opener({ KEY_VARIABLE: 'KEY' }, env)
  for (const { close } of await Promise.all([open(made.entry, 'vocabulary'), open(made.entry, 'everything')])) await close()
  expect(env).toEqual({})
})

test.each(['everything', 'vocabulary'] as const)('%s: another model that was encrypted for the key is refused', { skip }, async (part) => {
  const other = Buffer.from(content)
  other.writeUInt8(other.readUInt8(2_999_999) ^ 1, 2_999_999)
  const { path } = await encryptedEntry(join(home, 'other'), other)
  // For the same key, as anyone who knows the recipient can.
  const { encryptFile } = await import('./encrypt.ts')
  await encryptFile({ from: join(home, 'other/plain'), to: made.path, recipients: [made.key.recipient], sha256: undefined, signal: new AbortController().signal })
  expect(path).not.toBe(made.path)
  const found = createHash('sha256').update(other).digest('hex')
  expect(await failure(opener(), part)).toContain(`holds another model than the catalogue names: decrypted, it has the SHA-256 ${found} instead of ${made.entry.sha256}`)
})

test.each(['everything', 'vocabulary'] as const)('%s: a flipped bit is refused, wherever it is', { skip }, async (part) => {
  const sealed = await readFile(made.path)
  for (const place of [150, 70_000, sealed.length - 1]) {
    const flipped = Buffer.from(sealed)
    flipped.writeUInt8(flipped.readUInt8(place) ^ 1, place)
    await writeFile(made.path, flipped)
    expect(await failure(opener(), part)).toMatch(/can't be decrypted: its header is damaged|can't be decrypted: it is damaged or cut short/)
  }
})

test('no key, a wrong key, and no room are told for what they are', { skip }, async () => {
  expect(await failure(opener({}))).toBe(
    `The file of the model "own" is encrypted (${made.path}). No key is set: set modelEncryption.keyFile, keyVariable or keyCommand.`,
  )
  await writeFile(made.keyFile, (await newKeyPair()).identity)
  expect(await failure()).toContain('it is encrypted for another key than the one given')
  await rm(made.keyFile)
  expect(await failure()).toContain('does not exist')
  expect(await failure(opener({ KEY_FILE: '/nowhere' }))).toContain('/nowhere')
})

test('a file that is cut short counts as none', { skip }, async () => {
  const sealed = await readFile(made.path)
  await writeFile(made.path, sealed.subarray(0, 1_000_000))
  expect(await failure()).toContain('is not here, or not the one that the catalogue names')
})

test('a command that fails leaves it to a restart, and its reason is logged', { skip }, async () => {
  const open = opener({ KEY_COMMAND: '/bin/false' })
  await expect(open(made.entry, 'everything')).rejects.toBeInstanceOf(KeyCommandError)
  expect(log.error).toHaveBeenCalledWith(expect.objectContaining({ reason: expect.stringContaining('ended with status 1') as unknown }), 'no key for an encrypted model')
})
