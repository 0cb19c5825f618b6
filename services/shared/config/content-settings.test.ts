import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from './load.ts'

let home: string
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'content-settings-'))))
afterEach(() => rmSync(home, { recursive: true }))

test('content is kept in the state folder, and with PostgreSQL only in a folder that was named', () => {
  const folderWith = (env: Record<string, string>): string => loadConfig({ env: { INTRAMUROS_HOME: home, ...env } }).audit.contentFolder
  const postgres = { INTRAMUROS_AUDIT_POSTGRES_URL: 'postgres://writer@db.example:5432/audit' }
  expect(folderWith({})).toBe(join(home, 'content'))
  expect(folderWith(postgres)).toBe('')
  expect(folderWith({ ...postgres, INTRAMUROS_AUDIT_CONTENT_FOLDER: '/volume/content' })).toBe('/volume/content')
})

test('there is no folder of keys until one is named', () => {
  expect(loadConfig({ env: { INTRAMUROS_HOME: home } }).gateway.contentKeyFolder).toBe('')
  expect(loadConfig({ env: { INTRAMUROS_HOME: home, HOME: '/home/me', INTRAMUROS_GATEWAY_CONTENT_KEY_FOLDER: '~/keys' } }).gateway.contentKeyFolder).toBe('/home/me/keys')
})
