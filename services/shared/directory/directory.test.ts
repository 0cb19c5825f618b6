import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { secretOf } from './api-key.ts'
import { DirectoryError } from './directory-error.ts'
import { type Directory, type DirectoryOptions, openDirectory } from './directory.ts'

let parent: string
let home: string
let opened: Directory[]

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'intramuros-directory-'))
  home = join(parent, 'state')
  opened = []
})

afterEach(async () => {
  for (const directory of opened) directory.close()
  await rm(parent, { recursive: true, force: true })
})

function open(options: Partial<DirectoryOptions> = {}): Directory {
  const directory = openDirectory({ home, ...options })
  opened.push(directory)
  return directory
}

function reopen(directory: Directory, options: Partial<DirectoryOptions> = {}): Directory {
  opened.splice(opened.indexOf(directory), 1)
  directory.close()
  return open(options)
}

test('a key stands for its team and the models that the team may use', () => {
  const directory = open()
  directory.addTeam('research', ['small', 'large', 'small'])
  directory.addTeam('default', [])
  const research = directory.createKey('research', 'notebook')
  const everything = directory.createKey('default')

  const principal = directory.authenticate(research.secret)
  expect(principal).toMatchObject({ team: 'research', keyId: research.id, models: ['small', 'large'] })
  expect(['small', 'large', 'other', ''].map((model) => principal?.mayUse(model))).toEqual([true, true, false, false])
  expect(directory.authenticate(everything.secret)?.mayUse('other')).toBe(true)
})

test('an unknown key, a typo and texts that are no keys authenticate nobody', () => {
  const directory = open()
  directory.addTeam('default', [])
  const { id, secret } = directory.createKey('default')
  const unknown = secretOf(new Uint8Array(32))
  for (const text of [unknown, `${secret.slice(0, -1)}~`, secret.slice(0, -1), `${secret} `, id, '', "' OR 1=1 --"]) {
    expect(directory.authenticate(text)).toBeUndefined()
  }
})

test('what was changed is there after closing and opening', () => {
  let time = Date.UTC(2026, 0, 1)
  const now = (): Date => new Date((time += 1000))
  const directory = open({ now })
  directory.addTeam('b', ['m'])
  directory.addTeam('a', [])
  directory.changeTeam('b', { strictParameters: true, weight: 2.5 })
  directory.changeTeam('b', { batch: true })
  expect(() => directory.changeTeam('b', { weight: 0 })).toThrow(/from 0.001 to 1000/)
  const first = directory.createKey('b', 'CI – Zürich')
  const second = directory.createKey('a')
  directory.revokeKey(second.id)

  const again = reopen(directory, { readOnly: true })
  expect(again.listTeams()).toEqual([
    { name: 'a', models: [], strictParameters: false, weight: 1, batch: false, contentKey: '', createdAt: '2026-01-01T00:00:02.000Z' },
    { name: 'b', models: ['m'], strictParameters: true, weight: 2.5, batch: true, contentKey: '', createdAt: '2026-01-01T00:00:01.000Z' },
  ])
  expect(again.listKeys()).toEqual([
    { id: first.id, team: 'b', label: 'CI – Zürich', createdAt: '2026-01-01T00:00:05.000Z', revokedAt: undefined },
    { id: second.id, team: 'a', label: undefined, createdAt: '2026-01-01T00:00:06.000Z', revokedAt: '2026-01-01T00:00:07.000Z' },
  ])
  expect(again.listKeys('b').map((key) => key.id)).toEqual([first.id])
  expect(again.authenticate(first.secret)).toMatchObject({ keyId: first.id, strictParameters: true })
  expect(again.authenticate(second.secret)).toBeUndefined()
})

test('a revoked key is refused at once, and revoking it again changes nothing', () => {
  const directory = open()
  directory.addTeam('default', [])
  const { id, secret } = directory.createKey('default')
  const other = directory.createKey('default')
  expect(directory.authenticate(secret)).toBeDefined()
  const revoked = directory.revokeKey(id)
  expect(directory.authenticate(secret)).toBeUndefined()
  expect(directory.authenticate(other.secret)?.keyId).toBe(other.id)
  expect(directory.revokeKey(id)).toEqual(revoked)
})

test('a team that gets the name of a removed one is another', () => {
  const directory = open({ now: () => new Date('2026-01-01T00:00:00.000Z') })
  directory.addTeam('legal', [])
  const { secret } = directory.createKey('legal')
  const before = directory.authenticate(secret)?.teamId
  directory.removeTeam('legal', { force: true })
  const later = reopen(directory, { now: () => new Date('2026-01-01T00:00:00.001Z') })
  later.addTeam('legal', [])
  const after = later.authenticate(later.createKey('legal').secret)?.teamId
  expect([before, after]).toEqual([expect.stringMatching(/^legal@/), expect.stringMatching(/^legal@/)])
  expect(after).not.toBe(before)
})

test('a team with live keys is removed only by force, which revokes them for good', () => {
  const directory = open()
  directory.addTeam('x', [])
  const { id, secret } = directory.createKey('x')
  expect(() => directory.removeTeam('x')).toThrow(new RegExp(`has live keys \\(${id}\\)`))
  expect(directory.authenticate(secret)).toBeDefined()

  expect(directory.removeTeam('x', { force: true }).map((key) => key.id)).toEqual([id])
  expect(directory.listTeams()).toEqual([])
  expect(directory.authenticate(secret)).toBeUndefined()
  directory.addTeam('x', [])
  expect(directory.authenticate(secret)).toBeUndefined()
  expect(directory.removeTeam('x')).toEqual([])
  expect(directory.listKeys('x')).toMatchObject([{ id, team: 'x' }])
})

test('refusals say what is wrong and what there is', () => {
  const directory = open()
  directory.addTeam('research', [])
  directory.addTeam('legal', [])
  const { secret } = directory.createKey('legal')
  const cases: [() => unknown, string][] = [
    [() => directory.addTeam('legal', []), 'Team "legal" already exists.'],
    [() => directory.createKey('reserach'), 'Team "reserach" does not exist (did you mean "research"?); teams: legal, research.'],
    [() => directory.removeTeam('zzz'), 'Team "zzz" does not exist; teams: legal, research.'],
    [() => directory.listKeys('zzz'), 'Team "zzz" does not exist; teams: legal, research.'],
    [() => directory.addTeam('x', ['smol'], ['smollm2']), 'There is no model "smol" (did you mean "smollm2"?); models: smollm2.'],
    [() => directory.revokeKey('key_nothing'), 'There is no key with the id "key_nothing".'],
    [() => directory.revokeKey(secret), 'That is an API key, not the id of one; ids begin with "key_".'],
    [() => directory.createKey('legal', `for ${secret}`), 'A label must not hold an API key.'],
    [() => directory.createKey(secret), 'Team an API key does not exist; teams: legal, research.'],
  ]
  for (const [refused, text] of cases) expect(refused).toThrow(new DirectoryError(text))
  expect(directory.listTeams()).toHaveLength(2)
  expect(directory.listKeys()).toHaveLength(1)
})

test('names, model ids and labels that could be mistaken for something else are refused', () => {
  const directory = open()
  directory.addTeam('default', [])
  for (const name of ['', 'A', 'ä', '-a', 'a b', 'a_b', 'a\n', 'a'.repeat(64), '../x']) {
    expect(() => directory.addTeam(name, [])).toThrow(DirectoryError)
  }
  for (const model of ['', 'a b', 'a\u0000', 'é', 'm'.repeat(129)]) {
    expect(() => directory.addTeam('ok', [model])).toThrow(DirectoryError)
  }
  for (const label of ['', 'two\nlines', '\u001b[31mred', 'bidi \u202e', 'l'.repeat(65)]) {
    expect(() => directory.createKey('default', label)).toThrow(DirectoryError)
  }
  expect(directory.addTeam('0-'.repeat(31), []).name).toHaveLength(62)
  expect(directory.listTeams()).toHaveLength(2)
})

test('no secret is on disk, the write-ahead log included', () => {
  const directory = open()
  directory.addTeam('default', [])
  const secrets = Array.from({ length: 50 }, () => directory.createKey('default', 'same').secret)
  for (const secret of secrets) directory.authenticate(secret)
  // Another process makes the copy: reading the files here and closing them would drop this process's locks on them.
  const copy = join(parent, 'copy')
  execFileSync('cp', ['-R', home, copy])
  expect(readdirSync(copy)).toContain('directory.sqlite-wal')
  const bytes = readdirSync(copy).map((name) => readFileSync(join(copy, name)).toString('latin1')).join('\n')
  for (const secret of secrets) {
    expect(bytes).not.toContain(secret)
    expect(bytes).not.toContain(secret.slice('sk-im-'.length, -6))
  }
  expect(bytes).toContain('same')
})

test('only the owner can read the files, also when they were more open', () => {
  const directory = open()
  directory.addTeam('default', [])
  const modeOf = (path: string): number => statSync(path).mode & 0o777
  const modes = (): [string, number][] => readdirSync(home).toSorted().map((name) => [name, modeOf(join(home, name))])
  const names = ['directory.key', 'directory.sqlite', 'directory.sqlite-shm', 'directory.sqlite-wal']
  const expected = names.map((name) => [name, 0o600])
  expect(modeOf(home)).toBe(0o700)
  expect(modes()).toEqual(expected)
  for (const name of readdirSync(home)) chmodSync(join(home, name), 0o644)
  open()
  expect(modes()).toEqual(expected)
})

test('opening to read, or without making, leaves no directory behind', () => {
  expect(() => open({ readOnly: true })).toThrow(/There are no teams and keys in .*state:/)
  expect(() => open({ create: false })).toThrow(DirectoryError)
  expect(existsSync(home)).toBe(false)
})

test('a directory opened to read refuses changes', () => {
  const directory = reopen(open(), { readOnly: true })
  expect(() => directory.addTeam('x', [])).toThrow(/can only be read/)
  expect(directory.listTeams()).toEqual([])
})

test('a lost, cut or foreign HMAC key is an error, not a platform whose keys all fail', () => {
  const directory = open()
  directory.addTeam('default', [])
  const { secret } = directory.createKey('default')
  directory.close()
  opened = []
  const keyFile = join(home, 'directory.key')
  copyFileSync(keyFile, join(parent, 'backup'))

  rmSync(keyFile)
  expect(() => open()).toThrow(/directory\.key is missing/)
  expect(existsSync(keyFile)).toBe(false)
  writeFileSync(keyFile, 'short')
  expect(() => open()).toThrow(/holds 5 bytes instead of 32/)
  writeFileSync(keyFile, Buffer.alloc(32))
  expect(() => open()).toThrow(/does not belong to/)
  copyFileSync(join(parent, 'backup'), keyFile)
  expect(open().authenticate(secret)).toBeDefined()
})

test('a key file cut by a crash before there was a database is replaced', () => {
  open().close()
  opened = []
  rmSync(join(home, 'directory.sqlite'))
  writeFileSync(join(home, 'directory.key'), 'cut')
  const directory = open()
  directory.addTeam('default', [])
  expect(directory.authenticate(directory.createKey('default').secret)).toBeDefined()
  expect(statSync(join(home, 'directory.key')).size).toBe(32)
})

test('a file of the version before is brought up to date by who may write, and by nobody else', () => {
  open().addTeam('default', [])
  const older = new DatabaseSync(join(home, 'directory.sqlite'))
  older.exec('ALTER TABLE team DROP COLUMN strict_parameters; ALTER TABLE team DROP COLUMN weight; ALTER TABLE team DROP COLUMN batch; ALTER TABLE team DROP COLUMN content_key; DROP TABLE content_key; DROP TABLE directory_change; PRAGMA user_version = 1')
  older.close()
  expect(() => open({ readOnly: true })).toThrow(/older version/)
  expect(open().listTeams()).toMatchObject([{ name: 'default', strictParameters: false, weight: 1, batch: false, contentKey: '' }])
  expect(open({ readOnly: true }).listTeams()).toHaveLength(1)
})

test('a damaged file and one of a newer version are told apart from an empty one', () => {
  open().close()
  opened = []
  const file = join(home, 'directory.sqlite')
  const newer = new DatabaseSync(file)
  newer.exec('PRAGMA user_version = 99')
  newer.close()
  expect(() => open()).toThrow(/newer version \(schema 99/)
  writeFileSync(file, 'no database '.repeat(1000))
  expect(() => open()).toThrow(/damaged or no database/)
  writeFileSync(file, '')
  expect(() => open({ readOnly: true })).toThrow(/still empty/)
})

test('while the directory cannot be read, nobody gets in', () => {
  const directory = open()
  directory.addTeam('default', [])
  const { secret } = directory.createKey('default')
  expect(directory.authenticate(secret)).toBeDefined()
  const other = new DatabaseSync(join(home, 'directory.sqlite'))
  other.exec("PRAGMA ignore_check_constraints = ON; UPDATE team SET models = '\"all\"'")
  other.close()
  const unavailable: unknown = expect.objectContaining({ code: 'UNAVAILABLE', reason: 'directory_unavailable' })
  expect(() => directory.authenticate(secret)).toThrow(unavailable)
})
