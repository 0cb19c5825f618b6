import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkGgufHeader } from './gguf-header.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-gguf-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function header({ magic = 'GGUF', version = 3, tensors = 1n, entries = 1n, size = 200 }): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.write(magic, 'latin1')
  bytes.writeUInt32LE(version, 4)
  bytes.writeBigUInt64LE(tensors, 8)
  bytes.writeBigUInt64LE(entries, 16)
  return bytes
}

test.each([
  ['an empty file', Buffer.alloc(0), 'not_gguf'],
  ['another format', header({ magic: 'GGML' }), 'not_gguf'],
  ['one cut short in its header', header({}).subarray(0, 20), 'file_damaged'],
  ['an unknown version', header({ version: 99 }), 'unsupported_gguf_version'],
  ['a big-endian file', header({ version: 3 << 24 }), 'unsupported_gguf_version'],
  ['a huge count of tensors', header({ tensors: 2n ** 62n }), 'file_damaged'],
  ['a huge count of metadata', header({ entries: 2n ** 64n - 1n }), 'file_damaged'],
])('%s is refused with its reason', async (_what, bytes, reason) => {
  const path = join(folder, 'bad.gguf')
  await writeFile(path, bytes)
  await expect(checkGgufHeader(path)).rejects.toMatchObject({ name: 'EngineLoadError', reason })
})

test('a missing file and a folder are refused', async () => {
  await expect(checkGgufHeader(join(folder, 'none.gguf'))).rejects.toMatchObject({ reason: 'file_missing' })
  await expect(checkGgufHeader(folder)).rejects.toMatchObject({ reason: 'file_unreadable' })
})

test('a plausible header passes', async () => {
  const path = join(folder, 'good.gguf')
  await writeFile(path, header({}))
  await expect(checkGgufHeader(path)).resolves.toBeUndefined()
})
