import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command } from 'commander'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DirectoryPlace } from '../../services/audit/directory/place.ts'
import { openSharedDirectory } from '../../services/audit/directory/shared-directory.ts'
import { askDirectory } from '../../services/audit/directory/use-directory.ts'
import { openPostgresStore } from '../../services/audit/store/postgres/open-postgres-store.ts'
import { makeNoteKey } from '../../services/audit/tlog/note-key.ts'
import { registerContentKeys } from '../../services/cli/commands/content-keys.ts'
import { registerKeys } from '../../services/cli/commands/keys.ts'
import { silent } from '../support/identities.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'

// A command whose change PostgreSQL has committed, and which never hears of it.
let folder: string
let server: PostgresServer
let proxy: Server
let direct: DirectoryPlace
let cut: DirectoryPlace

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-directory-unknown-'))
  await mkdir(join(folder, 'content-keys'))
  await writeFile(join(folder, 'log.key'), makeNoteKey('log.example').skey)
  server = await startPostgres()
  proxy = createServer((client) => {
    const database = connect(server.port, '127.0.0.1')
    let committed = false
    client.on('data', (bytes: Buffer) => {
      committed ||= bytes.includes('COMMIT')
      database.write(bytes)
    })
    database.on('data', (bytes: Buffer) => (committed ? client.destroy() : client.write(bytes)))
    for (const socket of [client, database]) socket.on('error', () => undefined).on('close', () => [client, database].forEach((one) => one.destroy()))
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const settings = server.settingsOf(await server.createDatabase())
  direct = { settings, timing: {}, keyFile: join(folder, 'log.key') }
  cut = { ...direct, settings: { ...settings, address: { ...settings.address, port: (proxy.address() as AddressInfo).port } } }
  await (await openPostgresStore({ settings, wait: false })).close()
  ;(await openSharedDirectory({ place: direct, home: folder, recorded: 0, log: silent })).close()
})
afterAll(async () => {
  proxy.close()
  await server.remove()
  await rm(folder, { recursive: true })
})

async function run(...args: string[]): Promise<string> {
  const out = new PassThrough({ encoding: 'utf8' })
  const program = new Command('intramuros').exitOverride()
  const context = { directory: () => ({ home: folder, place: cut }), knownModels: () => [], auditFolder: () => '', auditKeyFile: () => '', keyFolder: () => Promise.resolve(join(folder, 'content-keys')), out, err: out }
  registerKeys(program, context)
  registerContentKeys(program, context)
  await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow(/did not answer: changing teams and keys, which may have been done: teams list and keys list tell/)
  return String(out.read() ?? '')
}

test('it says so, shows no key, and keeps the file of a content key that may be registered', async () => {
  expect(await run('keys', 'create', '--team', 'default')).toBe('')
  expect(await run('content', 'keys', 'create', 'first', '--team', 'default')).toBe('')
  expect(existsSync(join(folder, 'content-keys/first.key'))).toBe(true)
  const source = { home: folder, place: direct }
  expect(await askDirectory(source, (directory) => [directory.listKeys('default').length, directory.listContentKeys().map(({ name }) => name)])).toEqual([1, ['first']])
})
