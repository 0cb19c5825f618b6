import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { assertDurable, DatabaseUnusableError, openDatabase } from './database.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'audit-database-'))))
afterEach(() => rm(folder, { recursive: true }))

test('a commit is on the disk when it returns: WAL, synchronous=FULL', () => {
  const database = openDatabase(folder)
  expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
  expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 })
  database.close()
})

test.each(['PRAGMA synchronous = NORMAL', 'PRAGMA synchronous = OFF', 'PRAGMA journal_mode = DELETE'])('is refused with %s', (pragma) => {
  const database = openDatabase(folder)
  expect(() => assertDurable(database)).not.toThrow()
  database.exec(pragma)
  expect(() => assertDurable(database)).toThrow(/SQLite does not keep log\.sqlite as it must/)
  database.close()
})

test('a database of another version is refused and left as it is', () => {
  const database = new DatabaseSync(join(folder, 'log.sqlite'))
  database.exec('PRAGMA user_version = 99')
  database.close()
  expect(() => openDatabase(folder)).toThrow(DatabaseUnusableError)
})

test('is for its owner alone', async () => {
  openDatabase(folder).close()
  expect((await stat(join(folder, 'log.sqlite'))).mode & 0o777).toBe(0o600)
})
