import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { keyFileText, type KeyPair, newKeyPair } from '../age/keys.ts'
import { EncryptedModelError, KeyCommandError } from './encryption-error.ts'
import { type KeySettings, hasModelKey, readModelKey } from './model-key.ts'

const none: KeySettings = { keyFile: '', keyVariable: '', keyCommand: [] }
let folder = ''
let pair: KeyPair

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-model-key-'))
  pair = await newKeyPair()
})
afterAll(() => rm(folder, { recursive: true }))

async function put(name: string, text: string, mode = 0o600): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

async function failure(settings: Partial<KeySettings>, env: NodeJS.ProcessEnv = {}, limitMs?: number): Promise<EncryptedModelError> {
  const thrown: unknown = await readModelKey({ ...none, ...settings }, env, limitMs).catch((error: unknown) => error)
  if (!(thrown instanceof EncryptedModelError)) throw new Error('a key was read', { cause: thrown })
  expect(`${thrown.message}${thrown.stack}${JSON.stringify(thrown.cause)}`).not.toContain(pair.identity.slice(16, 40))
  return thrown
}

test('the key comes from a file, a variable or a command', async () => {
  const keyFile = await put('key', keyFileText(pair, new Date()))
  expect(await readModelKey({ ...none, keyFile }, {})).toEqual([pair.identity])
  expect(await readModelKey({ ...none, keyCommand: ['/bin/cat', keyFile] }, {})).toEqual([pair.identity])
  const env = { KEY: pair.identity, OTHER: 'x' }
  expect(await readModelKey({ ...none, keyVariable: 'KEY' }, env)).toEqual([pair.identity])
  // No child process is to inherit it.
  expect(env).toEqual({ OTHER: 'x' })
  expect([none, { ...none, keyFile }, { ...none, keyVariable: 'A' }, { ...none, keyCommand: ['a'] }].map(hasModelKey)).toEqual([false, true, true, true])
})

test('a command sees no shell', async () => {
  const script = await put('script', `#!/bin/sh\nprintf '%s\\n' "# $*"\nprintf '%s\\n' '${pair.identity}'\n`, 0o700)
  expect(await readModelKey({ ...none, keyCommand: [script, '$(id); exit 1', '`id`'] }, process.env)).toEqual([pair.identity])
})

test('what can not be had is said, without a word of what was read', async () => {
  expect((await failure({})).message).toContain('No key is set')
  expect((await failure({ keyFile: '/nowhere/key' })).message).toBe('The key file /nowhere/key (modelEncryption.keyFile) does not exist.')
  expect((await failure({ keyFile: folder })).message).toContain("can't be read (EISDIR)")
  expect((await failure({ keyFile: await put('large', 'x'.repeat(70_000)) })).message).toContain('too large')
  expect((await failure({ keyFile: await put('broken', `${pair.identity.slice(0, -1)}\n`) })).message).toContain('a line that is no age identity')
  expect((await failure({ keyFile: await put('public', pair.recipient) })).message).toContain('a line that is no age identity')
  expect((await failure({ keyVariable: 'KEY' })).message).toBe('The variable KEY (modelEncryption.keyVariable) is not set.')
  expect((await failure({ keyVariable: 'KEY' }, { KEY: `x${pair.identity}` })).message).toContain('no age identity')
})

test('a command that fails, hangs or talks too much is told as what may mend itself', async () => {
  const failing = await put('failing', `#!/bin/sh\necho '${pair.identity}' >&2\necho '${pair.identity}'\nexit 3\n`, 0o700)
  const cases: [string[], RegExp][] = [
    [[failing], /ended with status 3/],
    [['/bin/sleep', '60'], /took longer than 0.2 s/],
    [['/usr/bin/yes', pair.identity], /wrote more than|took longer/],
    [['/nowhere/program'], /can't be run \(ENOENT\)/],
    [['/bin/sh', '-c', 'kill -9 $$'], /ended by SIGKILL/],
  ]
  for (const [keyCommand, message] of cases) {
    const thrown = await failure({ keyCommand }, process.env, 200 + (keyCommand[0] === '/bin/sleep' ? 0 : 10_000))
    expect(thrown).toBeInstanceOf(KeyCommandError)
    expect(thrown.message).toMatch(message)
  }
})
