import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AnchorConflictError, AnchorError } from './anchor.ts'
import { checkpointFileName } from './checkpoint-file.ts'
import { createFolderAnchor } from './folder-anchor.ts'
import { createGrowingLog, type GrowingLog } from './test-support/growing-log.ts'

let folder: string
let log: GrowingLog
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-anchor-'))
  log = createGrowingLog('a')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const put = (source: GrowingLog, size: number): Promise<void> => createFolderAnchor({ name: 'worm', folder, readTile: source.readTile }).put(source.checkpoint(size), new AbortController().signal)
const fileOf = (size: number): string => join(folder, checkpointFileName(size))

test('one read-only file for each checkpoint, and none twice', async () => {
  for (const size of [3, 3, 300, 301]) await put(log, size)
  expect(await readdir(folder)).toEqual([3, 300, 301].map(checkpointFileName))
  expect(await readFile(fileOf(301), 'utf8')).toBe(log.checkpoint(301).note)
  expect((await stat(fileOf(3))).mode & 0o777).toBe(0o444)
})

test('another checkpoint of the same size is an alarm, and stays as it is', async () => {
  await put(log, 300)
  const before = await readFile(fileOf(300), 'utf8')
  await expect(put(createGrowingLog('b', log), 300)).rejects.toThrow(AnchorConflictError)
  expect(await readFile(fileOf(300), 'utf8')).toBe(before)
})

test('a log that was set back, or written anew and has grown beyond, is an alarm', async () => {
  await put(log, 300)
  await expect(put(createGrowingLog('a', log), 299)).rejects.toThrow(/set back/)
  await expect(put(createGrowingLog('b', log), 400)).rejects.toThrow(/does not go on from the checkpoint of 300/)
  await put(createGrowingLog('a', log), 400)
})

test('a file that a power failure cut off is finished; one that somebody changed is an alarm', async () => {
  const { note } = log.checkpoint(5)
  for (const length of [0, 1, note.length - 1]) {
    await writeFile(fileOf(5), note.slice(0, length), { mode: 0o600 })
    await put(log, 5)
    expect(await readFile(fileOf(5), 'utf8')).toBe(note)
    await rm(fileOf(5))
  }
  await put(log, 6)
  await chmod(fileOf(6), 0o600)
  await truncate(fileOf(6), 4)
  await writeFile(fileOf(6), 'x', { flag: 'a' })
  await expect(put(log, 6)).rejects.toThrow(AnchorConflictError)
  // It is of the size 6 for good; what comes later is anchored.
  await put(log, 7)
})

test('a folder that is away is not made, and is no alarm', async () => {
  await rm(folder, { recursive: true })
  const failed = await put(log, 3).catch((thrown: unknown) => thrown)
  expect(failed).toBeInstanceOf(AnchorError)
  expect(failed).not.toBeInstanceOf(AnchorConflictError)
  await expect(stat(folder)).rejects.toMatchObject({ code: 'ENOENT' })
})
