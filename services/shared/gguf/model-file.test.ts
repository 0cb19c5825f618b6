import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeMetadata, type MetadataValue, serialiseGguf } from '../../../test/support/gguf-file.ts'
import { readModelFile } from './model-file.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-gguf-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function write(name: string, metadata: Readonly<Record<string, MetadataValue>>, tensors: readonly string[] = []): Promise<string> {
  const path = join(folder, name)
  const entries = Object.entries(metadata).map(([key, value]) => [key, encodeMetadata(value)] as const)
  const placed = tensors.map((tensor, index) => ({ name: tensor, dimensions: [8], type: 0, offset: BigInt(index * 32) }))
  await writeFile(path, Buffer.concat(serialiseGguf({ metadata: new Map(entries), tensors: placed, data: Buffer.alloc(tensors.length * 32) })))
  return path
}

test('a missing file and a folder are told', async () => {
  await expect(readModelFile(join(folder, 'none.gguf'))).rejects.toMatchObject({ reason: 'file_missing' })
  await expect(readModelFile(folder)).rejects.toMatchObject({ reason: 'file_unreadable' })
})

test('a header that is longer than the first read is read whole', async () => {
  const path = await write('long.gguf', { 'general.architecture': 'llama', long: 'x'.repeat(3_000_000) }, ['t'])
  const { metadata, tensors } = await readModelFile(path)
  expect(metadata.get('long')).toHaveLength(3_000_000)
  expect(tensors).toHaveLength(1)
})

test('the parts of a model are read as one', async () => {
  const split = (no: number): Readonly<Record<string, MetadataValue>> => ({ 'split.no': no, 'split.count': 3 })
  const first = await write('m-00001-of-00003.gguf', { 'general.architecture': 'llama', ...split(0) }, ['a'])
  const second = await write('m-00002-of-00003.gguf', split(1), ['b', 'c'])
  await expect(readModelFile(first)).rejects.toMatchObject({ reason: 'part_missing', message: expect.stringMatching(/m-00003-of-00003\.gguf does not exist: it is a part .* m-00001-of-00003/) as string })
  await write('m-00003-of-00003.gguf', split(2), ['d'])
  const { files, metadata, tensors } = await readModelFile(first)
  expect(files.map(({ path }) => path.slice(-21))).toEqual(['m-00001-of-00003.gguf', 'm-00002-of-00003.gguf', 'm-00003-of-00003.gguf'])
  expect(tensors.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd'])
  expect(metadata.get('general.architecture')).toBe('llama')
  await expect(readModelFile(second)).rejects.toMatchObject({ reason: 'part_missing', message: expect.stringContaining('not the first: name m-00001-of-00003.gguf') as string })
})

test('parts that were renamed are told what to be called', async () => {
  const path = await write('renamed.gguf', { 'split.no': 0, 'split.count': 2 })
  await expect(readModelFile(path)).rejects.toMatchObject({ reason: 'part_missing', message: expect.stringContaining('<name>-00001-of-00002.gguf') as string })
})
