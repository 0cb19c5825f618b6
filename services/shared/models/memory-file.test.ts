import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createMemoryFile, type MemoryFileOptions, writeFailure } from './memory-file.ts'

// Linux alone has the storage that this is about.
const skip = process.platform !== 'linux'
let onDisk = ''
beforeAll(async () => (onDisk = await mkdtemp(join(import.meta.dirname, '../../../node_modules/.cache-memory-'))))
afterAll(() => rm(onDisk, { recursive: true }))

async function make(more: Partial<MemoryFileOptions> = {}): ReturnType<typeof createMemoryFile> {
  const noSwaps = join(onDisk, 'no-swaps')
  await writeFile(noSwaps, 'Filename Type Size Used Priority\n')
  return await createMemoryFile({ folder: '/dev/shm', bytes: 10, refuseSwap: true, onSwap: () => undefined, swapsFile: noSwaps, ...more })
}

test('the file has no name, is for this user alone, and is gone when it is closed', { skip }, async () => {
  const before = await readdir('/dev/shm')
  const { handle, path } = await make()
  await handle.write('weights')
  expect(await readFile(path, 'utf8')).toBe('weights')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect((await handle.stat()).nlink).toBe(0)
  expect((await readdir('/dev/shm')).filter((name) => !before.includes(name))).toEqual([])
  await handle.close()
  await expect(readFile(path)).rejects.toThrow('ENOENT')
})

test('a folder on a disk, none at all, and one without room are refused with what is to be done', { skip }, async () => {
  await expect(make({ folder: onDisk })).rejects.toThrow('is on a disk')
  await expect(make({ folder: '/nowhere' })).rejects.toThrow("can't be used: ENOENT")
  const much = 2 ** 52
  await expect(make({ bytes: much })).rejects.toThrow(new RegExp(`the decrypted model has ${much} bytes, \\d+ are free`))
  expect(String(writeFailure(Object.assign(new Error('x'), { code: 'ENOSPC' }), '/dev/shm', 7))).toContain('has 7 bytes, it is full')
})

test('swap is told, or refused', { skip }, async () => {
  const swapsFile = join(onDisk, 'swaps')
  await writeFile(swapsFile, 'Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n')
  const onSwap = vi.fn<() => void>()
  const { handle } = await make({ refuseSwap: false, onSwap, swapsFile })
  await handle.close()
  expect(onSwap).toHaveBeenCalledOnce()
  await expect(make({ swapsFile })).rejects.toThrow('swapoff')
  await expect(make({ swapsFile: '/nowhere/swaps' })).rejects.toThrow('swapoff')
})
