import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { silent } from '../../../test/support/identities.ts'
import { type PostgresServer, startPostgres } from '../../../test/support/postgres.ts'
import { openDirectory } from '../../shared/directory/directory.ts'
import { openPostgresStore } from '../store/postgres/open-postgres-store.ts'
import { makeNoteKey } from '../tlog/note-key.ts'
import { askAnew } from './directory-row.ts'
import type { DirectoryPlace } from './place.ts'
import { openSharedDirectory, type SharedDirectory } from './shared-directory.ts'
import { askDirectory, changeDirectory } from './use-directory.ts'

let server: PostgresServer
let folder: string
let database: string
let place: DirectoryPlace
let opened: SharedDirectory[]

beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-shared-directory-'))
  await writeFile(join(folder, 'log.key'), `${makeNoteKey('log.example').skey}\n`)
  database = await server.createDatabase()
  place = { settings: server.settingsOf(database), timing: { answerMs: 2000 }, keyFile: join(folder, 'log.key') }
  // It makes the tables.
  await (await openPostgresStore({ settings: place.settings, wait: false })).close()
  opened = []
})
afterEach(async () => {
  for (const directory of opened) directory.close()
  await rm(folder, { recursive: true })
})

async function open({ home = folder, recorded = 0 } = {}): Promise<SharedDirectory> {
  const directory = await openSharedDirectory({ place, home, recorded, log: silent, intervalMs: 20 })
  opened.push(directory)
  return directory
}

const source = () => ({ home: folder, place })
const names = (directory: SharedDirectory): string[] => directory.terms().teams.map(({ name }) => name)

test('the first service makes it, with the first team; what commands change is seen by all, and none is lost', async () => {
  await expect(changeDirectory(source(), (directory) => directory.addTeam('early', []))).rejects.toThrow('There are no teams and keys in the database yet')
  const first = await open()
  expect(names(first)).toEqual(['default'])
  const second = await open()
  const version = second.version()
  // As many commands at once as there are.
  const made = await Promise.all(Array.from({ length: 12 }, (_, index) => changeDirectory(source(), (directory) => directory.createKey('default', `key ${index}`))))
  const ids = made.map(({ id }) => id).toSorted()
  for (const directory of [first, second]) {
    await vi.waitFor(() => expect(directory.terms().keys.map(({ id }) => id).toSorted()).toEqual(ids), 5000)
    expect(directory.changesAfter(0, 100).map(({ event }) => event)).toEqual(['team.created', ...ids.map(() => 'key.created')])
  }
  expect(second.version()).toBeGreaterThan(version)
  expect(await askDirectory(source(), (directory) => made.map(({ secret }) => directory.authenticate(secret)?.keyId))).toEqual(made.map(({ id }) => id))
  // Nothing of it is in a file.
  expect(await readdir(folder)).toEqual(['log.key'])
})

test('a command that changes nothing, or fails, leaves it as it was', async () => {
  const directory = await open()
  await changeDirectory(source(), (one) => one.changeTeam('default', { weight: 1 }))
  await expect(changeDirectory(source(), (one) => [one.addTeam('half', []), one.addTeam('default', [])])).rejects.toThrow('already exists')
  expect(await askDirectory(source(), (one) => one.listTeams().map(({ name }) => name))).toEqual(['default'])
  expect(directory.version()).toBe(1)
})

test('one that was in files is taken over, and the files no longer count', async () => {
  const files = openDirectory({ home: folder })
  files.addTeam('ward', [])
  const { secret } = files.createKey('ward')
  files.revokeKey(files.createKey('ward').id)
  const recorded = files.lastChange()
  const directory = await open({ recorded })
  // Still open elsewhere, as by a command that hangs.
  files.close()
  expect(names(directory)).toEqual(['ward'])
  expect(directory.changesAfter(recorded, 10)).toEqual([])
  expect(await askDirectory(source(), (one) => one.authenticate(secret)?.team)).toBe('ward')
  expect(existsSync(join(folder, 'directory.sqlite'))).toBe(false)
  expect(existsSync(join(folder, 'directory.sqlite.moved'))).toBe(true)
  // Another service's own is not: the first counts.
  const other = await mkdtemp(join(tmpdir(), 'intramuros-shared-directory-'))
  openDirectory({ home: other }).close()
  expect(names(await open({ home: other, recorded }))).toEqual(['ward'])
  expect((await readdir(other)).filter((name) => name.startsWith('directory') && !name.endsWith('-wal') && !name.endsWith('-shm')).toSorted()).toEqual(['directory.key.moved', 'directory.sqlite.moved'])
  await rm(other, { recursive: true })
})

test('a service without files does not begin where the log has changes: the keys are with another', async () => {
  const other = await mkdtemp(join(tmpdir(), 'intramuros-shared-directory-'))
  const files = openDirectory({ home: folder })
  files.addTeam('ward', [])
  const recorded = files.lastChange()
  files.close()
  await expect(open({ home: other, recorded })).rejects.toThrow(/start the audit service first that has it.*INSERT INTO intramuros_audit\.directory/)
  expect(names(await open({ recorded }))).toEqual(['ward'])
  expect(names(await open({ home: other, recorded }))).toEqual(['ward'])
  await rm(other, { recursive: true })
})

test('one in files that lacks changes which the log has is not taken over', async () => {
  const files = openDirectory({ home: folder })
  files.addTeam('ward', [])
  const recorded = files.lastChange() + 1
  files.close()
  await expect(open({ recorded })).rejects.toThrow(/directory\.sqlite in .* lacks changes of teams and keys/)
  expect(existsSync(join(folder, 'directory.sqlite'))).toBe(true)
})

test('an old copy of the row is not believed: not at start, and not while a service runs', async () => {
  const directory = await open()
  const { id, secret } = await changeDirectory(source(), (one) => one.createKey('default'))
  await vi.waitFor(() => expect(directory.terms().keys).toHaveLength(1), 5000)
  await server.query(database, 'CREATE TABLE old AS SELECT * FROM intramuros_audit.directory')
  await changeDirectory(source(), (one) => one.revokeKey(id))
  await vi.waitFor(() => expect(directory.terms().keys).toMatchObject([{ id, revoked: true }]), 5000)
  const recorded = directory.changesAfter(0, 100).at(-1)?.id ?? 0
  const told = vi.spyOn(silent, 'error')
  await server.query(database, 'UPDATE intramuros_audit.directory SET (version, image) = (SELECT version, image FROM old)')
  await vi.waitFor(() => expect(told).toHaveBeenCalledWith(expect.objectContaining({ reason: expect.stringContaining('old copy') as string }), expect.any(String)), 5000)
  await expect(open({ recorded })).rejects.toThrow('old copy')
  expect(directory.terms().keys).toMatchObject([{ id, revoked: true }])
  // Nor when it is changed, though its changes are the newest then, and its number the one that was there.
  await changeDirectory(source(), (one) => one.addTeam('later', []))
  await expect(open({ recorded })).rejects.toThrow('old copy')
  expect(names(directory)).toEqual(['default'])
  expect(directory.terms().keys).toMatchObject([{ id, revoked: true }])
  // With another number it is no version at all.
  await server.query(database, 'UPDATE intramuros_audit.directory SET version = version + 5')
  await expect(askDirectory(source(), (one) => one.authenticate(secret))).rejects.toThrow('changed by somebody who has not the key')
  await expect(open()).rejects.toThrow('changed by somebody who has not the key')
  // Given up, it begins anew, without any keys, as the message says.
  const message = await open({ recorded }).then(() => '', (thrown: unknown) => String(thrown))
  expect(message).toContain('changed by somebody')
  await server.query(database, 'DELETE FROM intramuros_audit.directory')
  await expect(open({ recorded })).rejects.toThrow('start the audit service first that has it')
  await server.query(database, askAnew)
  await expect(askDirectory(source(), (one) => one.listKeys())).rejects.toThrow('no teams and keys in the database yet')
  expect((await open({ recorded })).terms()).toMatchObject({ teams: [{ name: 'default' }], keys: [] })
  // Also by a clock that was set back since, and over one that is there.
  await server.query(database, askAnew)
  const ahead = Date.now() + 86_400_000
  const anew = await open({ recorded: ahead })
  expect(anew.changesAfter(ahead, 10)).toMatchObject([{ event: 'team.created' }])
  // It is asked for once.
  await changeDirectory(source(), (one) => one.addTeam('ward', []))
  expect(names(await open({ recorded: ahead }))).toEqual(['default', 'ward'])
})

test('a byte that was changed, another key of the log, and none, are told', async () => {
  await open()
  const key = join(folder, 'other.key')
  await expect(askDirectory({ home: folder, place: { ...place, keyFile: key } }, (one) => one.listKeys())).rejects.toThrow(/other\.key, .* can't be read \(ENOENT\)/)
  await writeFile(key, 'PRIVATE+KEY+nonsense')
  await expect(askDirectory({ home: folder, place: { ...place, keyFile: key } }, (one) => one.listKeys())).rejects.toThrow('other.key holds no key of a log')
  await writeFile(key, makeNoteKey('log.example').skey)
  await expect(askDirectory({ home: folder, place: { ...place, keyFile: key } }, (one) => one.listKeys())).rejects.toThrow('another key than')
  const [row] = await server.query(database, 'SELECT length(image) AS bytes FROM intramuros_audit.directory')
  for (const at of [0, 11, 12, 5000, Number(row?.['bytes']) - 1]) {
    const flip = `UPDATE intramuros_audit.directory SET image = set_byte(image, ${at}, get_byte(image, ${at}) # 1)`
    await server.query(database, flip)
    await expect(askDirectory(source(), (one) => one.listKeys())).rejects.toThrow('changed by somebody')
    await server.query(database, flip)
  }
  expect(await askDirectory(source(), (one) => one.listKeys())).toEqual([])
})

test('while the database is away what is known counts on, and commands say so; then it is followed again', async () => {
  const directory = await open()
  await server.kill()
  try {
    await expect(changeDirectory(source(), (one) => one.addTeam('ward', []))).rejects.toThrow(/No connection to PostgreSQL/)
    expect(names(directory)).toEqual(['default'])
  } finally {
    await server.start()
  }
  await vi.waitFor(() => changeDirectory(source(), (one) => one.addTeam('ward', [])), 10_000)
  await vi.waitFor(() => expect(names(directory)).toEqual(['default', 'ward']), 10_000)
})

test('one of an older version in the row is brought up to date, one of a newer is refused', async () => {
  await open()
  const change = async (statement: string): Promise<void> => {
    await changeDirectory(source(), (one) => {
      one.addTeam(`team-${Math.random().toString(36).slice(2)}`, [])
      const image = one.image()
      const raw = new DatabaseSync(':memory:')
      raw.deserialize(image.subarray(32))
      raw.exec(statement)
      const changed = Buffer.concat([image.subarray(0, 32), raw.serialize()])
      raw.close()
      one.image = () => changed
    })
  }
  await change(`DROP TABLE content_key; ALTER TABLE team DROP COLUMN content_key; PRAGMA user_version = 4`)
  // Not by a command: a service of the older version may still write the log.
  await expect(askDirectory(source(), (one) => one.listTeams())).rejects.toThrow('made by an older version')
  await open()
  expect(await askDirectory(source(), (one) => [one.listTeams().map(({ contentKey }) => contentKey), one.listContentKeys()])).toEqual([['', ''], []])
  await change('PRAGMA user_version = 99')
  await expect(askDirectory(source(), (one) => one.listTeams())).rejects.toThrow('made by a newer version (schema 99')
})
