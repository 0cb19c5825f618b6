import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../../../test/support/postgres.ts'
import { registerAudit } from './audit.ts'
import { openPostgresStore } from '../../audit/store/postgres/open-postgres-store.ts'
import type { PostgresSettings } from '../../audit/store/postgres/connection.ts'
import { openTestLog, refusal } from '../../audit/test-support/open-test-log.ts'
import { openPostgresSource } from '../../audit/verify/postgres-source.ts'
import { verifyLog } from '../../audit/verify/verify-folder.ts'

let server: PostgresServer
let home: string
beforeAll(async () => {
  server = await startPostgres()
  home = await mkdtemp(join(tmpdir(), 'audit-postgres-source-'))
})
afterAll(async () => {
  await server.remove()
  await rm(home, { recursive: true })
})

/** A log of 603 records with a few that were pruned, and its key. */
async function writeLog(): Promise<{ settings: PostgresSettings; database: string; vkey: string; keyFile: string }> {
  const database = await server.createDatabase()
  const settings = server.settingsOf(database)
  const own = join(home, database)
  const log = await openTestLog(own, { openStore: () => openPostgresStore({ settings, wait: false }) })
  await log.append(Array.from({ length: 600 }, (_, at) => refusal(`r${at}`)))
  await log.append([{ type: 'log.pruned', class: 'security', from: 0, to: 600, before: '2026-01-01T00:00:00.000Z', entries: 3 }])
  await log.store.prune([3, 255, 599])
  const { vkey } = log.signer
  await log.close()
  return { settings, database, vkey, keyFile: join(own, 'audit-key/log.pub') }
}

test('a log in PostgreSQL is checked as one in a folder is, and each fault is named', async () => {
  const { settings, database, vkey } = await writeLog()
  const check = () => verifyLog(() => openPostgresSource(settings), { vkey })
  expect(await check()).toMatchObject({ ok: true, records: 603, pruned: 3, signed: 603, keyChecked: true })
  const faults: [string, object][] = [
    [`UPDATE intramuros_audit.entry SET data = replace(convert_from(data, 'UTF8'), 'r400', 'r4OO')::bytea WHERE index = 401`, { kind: 'changed', index: 401 }],
    [`UPDATE intramuros_audit.entry SET hash = decode(repeat('00', 32), 'hex') WHERE index = 599`, { kind: 'wrong_checkpoint' }],
    [`UPDATE intramuros_audit.tile SET hashes = decode(repeat('00', 8192), 'hex') WHERE level = 0 AND index = 1`, { kind: 'changed', index: 256 }],
    [`DELETE FROM intramuros_audit.entry WHERE index = 300`, { kind: 'missing', index: 256 }],
    [`DELETE FROM intramuros_audit.tile WHERE level = 0 AND index = 0`, { kind: 'missing', index: 3 }],
    [`UPDATE intramuros_audit.head SET size = 602`, { kind: 'wrong_checkpoint', index: 602 }],
  ]
  for (const [change, fault] of faults) {
    await server.query(database, `CREATE SCHEMA kept; CREATE TABLE kept.entry AS TABLE intramuros_audit.entry; CREATE TABLE kept.tile AS TABLE intramuros_audit.tile; CREATE TABLE kept.head AS TABLE intramuros_audit.head`)
    await server.query(database, change)
    expect(await check()).toMatchObject({ ok: false, ...fault })
    await server.query(
      database,
      `TRUNCATE intramuros_audit.entry, intramuros_audit.tile, intramuros_audit.head; INSERT INTO intramuros_audit.entry TABLE kept.entry; INSERT INTO intramuros_audit.tile TABLE kept.tile;
       INSERT INTO intramuros_audit.head TABLE kept.head; DROP SCHEMA kept CASCADE`,
    )
  }
  expect(await check()).toMatchObject({ ok: true })
}, 60_000)

test('"audit verify" checks the database that is configured, and says where that is; one that is away is no verdict', async () => {
  const { settings, keyFile } = await writeLog()
  const run = async (given: PostgresSettings): Promise<{ text: string; status: number }> => {
    const out = new PassThrough()
    const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined })
    registerAudit(program, { directory: () => ({ home, place: undefined }), knownModels: () => [], auditFolder: () => 'not asked for', auditPostgres: () => given, auditKeyFile: () => keyFile, out, err: out })
    const status = await program.parseAsync(['audit', 'verify'], { from: 'user' }).then(
      () => 0,
      (thrown: unknown) => (thrown instanceof CommanderError ? thrown.exitCode : -1),
    )
    return { text: String(out.read() ?? ''), status }
  }
  const { text, status } = await run(settings)
  expect(status).toBe(0)
  expect(text).toContain(`The audit log in PostgreSQL at 127.0.0.1:${server.port}/${settings.address.database} is intact: 603 records`)
  expect(text).toContain('signed by the key')
  expect((await run({ ...settings, address: { ...settings.address, database: 'nowhere' } })).status).toBe(2)
}, 60_000)
