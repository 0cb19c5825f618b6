import { mkdtemp, rename, rm, stat, symlink, writeFile, mkdir } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTeamKey, readTeamKey, readTeamKeyOf, removeTeamKey } from './team-key.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'team-keys-'))))
afterEach(() => rm(folder, { recursive: true }))

test('a key is made once, for its owner alone, and read by its name or its id', async () => {
  const made = await createTeamKey(folder, 'hr-1')
  expect(made.id).toMatch(/^hr-1\.[0-9a-f]{16}$/)
  expect((await stat(join(folder, 'hr-1.key'))).mode & 0o777).toBe(0o600)
  expect(await readTeamKey(folder, 'hr-1')).toEqual(made)
  expect(await readTeamKeyOf(folder, made.id)).toEqual(made)
  await expect(createTeamKey(folder, 'hr-1')).rejects.toThrow('is there already')
  expect(await readTeamKey(folder, 'hr-1')).toEqual(made)
  expect(await removeTeamKey(folder, 'hr-1')).toBe(true)
  expect(await removeTeamKey(folder, 'hr-1')).toBe(false)
  await expect(readTeamKey(folder, 'hr-1')).rejects.toThrow('There is no key')
})

test('files that hold no key, and names that leave the folder, are refused', async () => {
  const key = randomBytes(32).toString('base64')
  for (const text of ['', key.slice(1), `${key}${key}`, ` ${key}`, `${key}\n\n`, randomBytes(31).toString('base64'), key.replace('=', '')]) {
    await writeFile(join(folder, 'bad.key'), text)
    await expect(readTeamKey(folder, 'bad'), JSON.stringify(text)).rejects.toThrow('holds no key')
  }
  await writeFile(join(folder, 'bad.key'), `${key}\r\n`)
  expect((await readTeamKey(folder, 'bad')).bytes.toString('base64')).toBe(key)
  for (const name of ['', '../bad', 'a/b', 'A', '.bad', 'x'.repeat(64)]) await expect(readTeamKey(folder, name)).rejects.toThrow('A name of a key')
})

test('a mounted Secret that the kubelet swaps: the next use has the new file, and another key under the old name is refused', async () => {
  const [one, two] = [randomBytes(32), randomBytes(32)]
  for (const [version, bytes] of [['..1', one], ['..2', two]] as const) {
    await mkdir(join(folder, version))
    await writeFile(join(folder, version, 'hr.key'), bytes.toString('base64'))
  }
  await symlink('..1', join(folder, '..data'))
  await symlink('..data/hr.key', join(folder, 'hr.key'))
  const { id, bytes } = await readTeamKey(folder, 'hr')
  expect(bytes).toEqual(one)
  await symlink('..2', join(folder, '..tmp'))
  await rename(join(folder, '..tmp'), join(folder, '..data'))
  expect((await readTeamKey(folder, 'hr')).bytes).toEqual(two)
  await expect(readTeamKeyOf(folder, id)).rejects.toThrow('holds another key')
})
