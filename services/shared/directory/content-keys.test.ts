import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Directory, openDirectory } from './directory.ts'

let home: string
let directory: Directory
let time = Date.UTC(2026, 0, 1)
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'content-keys-'))
  directory = openDirectory({ home, now: () => new Date((time += 1000)) })
  directory.addTeam('hr', [])
  directory.addTeam('it', [])
  directory.addContentKey({ name: 'hr-1', team: 'hr', keyId: 'hr-1.0000000000000001' })
})
afterEach(() => {
  directory.close()
  rmSync(home, { recursive: true })
})

test('a team that keeps its content says under which key, at once and to other processes', () => {
  const { secret } = directory.createKey('hr')
  const gateway = openDirectory({ home, readOnly: true })
  expect(gateway.authenticate(secret)?.contentKeyId).toBe('')
  expect(directory.changeTeam('hr', { contentKey: 'hr-1' })).toMatchObject({ contentKey: 'hr-1' })
  expect(gateway.authenticate(secret)?.contentKeyId).toBe('hr-1.0000000000000001')
  directory.changeTeam('hr', { contentKey: '' })
  expect(gateway.authenticate(secret)?.contentKeyId).toBe('')
  gateway.close()
  expect(directory.changesAfter(0, 100).filter(({ event }) => event !== 'key.created').slice(2)).toMatchObject([
    { event: 'content_key.created', team: 'hr', keyId: 'hr-1.0000000000000001' },
    { event: 'team.changed', team: 'hr', settings: ['contentKey'] },
    { event: 'team.changed', team: 'hr', settings: ['contentKey'] },
  ])
})

test("a key is its team's alone, and not that of another team that gets the name", () => {
  expect(() => directory.changeTeam('it', { contentKey: 'hr-1' })).toThrow('of another team')
  expect(() => directory.changeTeam('it', { contentKey: 'it-9' })).toThrow('no content key of that name; keys: hr-1')
  expect(() => directory.addContentKey({ name: 'hr-1', team: 'it', keyId: 'hr-1.0000000000000002' })).toThrow('is or was')
  expect(() => directory.addContentKey({ name: 'x', team: 'none', keyId: 'x.0000000000000002' })).toThrow('does not exist')
  directory.removeTeam('hr')
  directory.addTeam('hr', [])
  expect(() => directory.changeTeam('hr', { contentKey: 'hr-1' })).toThrow('of another team')
})

test('a key in use is not destroyed; a destroyed one is never used again', () => {
  directory.changeTeam('hr', { contentKey: 'hr-1' })
  expect(() => directory.destroyContentKey('hr-1')).toThrow('give the team another first')
  directory.addContentKey({ name: 'hr-2', team: 'hr', keyId: 'hr-2.0000000000000002' })
  directory.changeTeam('hr', { contentKey: 'hr-2' })
  const destroyed = directory.destroyContentKey('hr-1')
  expect(destroyed.destroyedAt).toBeDefined()
  expect(directory.destroyContentKey('hr-1')).toEqual(destroyed)
  expect(() => directory.changeTeam('hr', { contentKey: 'hr-1' })).toThrow('was destroyed')
  expect(() => directory.addContentKey({ name: 'hr-1', team: 'hr', keyId: 'hr-1.0000000000000009' })).toThrow('is or was')
  expect(directory.listContentKeys()).toMatchObject([{ name: 'hr-1', destroyedAt: destroyed.destroyedAt }, { name: 'hr-2', destroyedAt: undefined }])
  expect(directory.changesAfter(0, 100).filter(({ event }) => event === 'content_key.destroyed')).toMatchObject([{ team: 'hr', keyId: 'hr-1.0000000000000001' }])
})
