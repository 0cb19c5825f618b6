import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DirectoryChange } from './changes.ts'
import { type Directory, openDirectory } from './directory.ts'

let home: string
let time: number
let opened: Directory[]

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'intramuros-changes-'))
  time = Date.UTC(2026, 10, 1)
  opened = []
})
afterEach(() => {
  for (const directory of opened) directory.close()
  rmSync(home, { recursive: true })
})

function open(readOnly = false): Directory {
  const directory = openDirectory({ home, readOnly, now: () => new Date(time) })
  opened.push(directory)
  return directory
}

function story(changes: readonly DirectoryChange[]): string[] {
  return changes.map(({ event, team, keyId, settings }) => [event, team, keyId, ...settings].filter((part) => part !== '').join(' '))
}

test('every change of a team or a key is told, what changes nothing is not', () => {
  const directory = open()
  directory.addTeam('a', [])
  directory.addTeam('b', ['m'])
  const { id } = directory.createKey('a', 'a label')
  const other = directory.createKey('a').id
  directory.changeTeam('a', { weight: 2, batch: false })
  directory.changeTeam('a', { weight: 2 })
  directory.revokeKey(id)
  directory.revokeKey(id)
  expect(() => directory.removeTeam('a')).toThrow(/live keys/)
  expect(() => directory.addTeam('a', [])).toThrow()
  directory.removeTeam('a', { force: true })
  const changes = open(true).changesAfter(0, 100)
  expect(story(changes)).toEqual(['team.created a', 'team.created b models', `key.created a ${id}`, `key.created a ${other}`, 'team.changed a weight', `key.revoked a ${id}`, 'team.deleted a', `key.revoked a ${other}`])
  expect(changes[0]).toMatchObject({ id: time, changedAt: '2026-11-01T00:00:00.000Z' })
  expect(JSON.stringify(changes)).not.toContain('label')
})

test('ids grow, whatever the clock does, and are read in pieces', () => {
  const directory = open()
  for (const [at, name] of ['a', 'b', 'c', 'd'].entries()) {
    time += [0, 0, -5000, 5001][at] ?? 0
    directory.addTeam(name, [])
  }
  const start = Date.UTC(2026, 10, 1)
  const all = directory.changesAfter(0, 100)
  expect(all.map(({ id }) => id - start)).toEqual([0, 1, 2, 3])
  expect(directory.changesAfter(all[0]?.id ?? 0, 2)).toEqual(all.slice(1, 3))
  expect(directory.changesAfter(all[3]?.id ?? 0, 2)).toEqual([])
})

test('what is changed in a restored older copy has larger ids than what was changed after it was made', () => {
  const directory = open()
  directory.addTeam('a', [])
  const copy = join(home, 'copy.sqlite')
  opened.pop()?.close()
  copyFileSync(join(home, 'directory.sqlite'), copy)
  time += 1000
  const later = open()
  later.addTeam('b', [])
  const [, last] = later.changesAfter(0, 10)
  opened.pop()?.close()
  copyFileSync(copy, join(home, 'directory.sqlite'))
  time += 1000
  const restored = open()
  restored.addTeam('c', [])
  expect(story(restored.changesAfter(last?.id ?? 0, 10))).toEqual(['team.created c'])
})

test('a revoked key is known as whose it was, a live or unknown one is not', () => {
  const directory = open()
  directory.addTeam('a', [])
  const { id, secret } = directory.createKey('a')
  expect(directory.revokedKey(secret)).toBeUndefined()
  directory.revokeKey(id)
  expect(open(true).revokedKey(secret)).toEqual({ team: 'a', keyId: id })
  expect(directory.revokedKey(`${secret.slice(0, -1)}x`)).toBeUndefined()
  expect(directory.revokedKey('nonsense')).toBeUndefined()
})
