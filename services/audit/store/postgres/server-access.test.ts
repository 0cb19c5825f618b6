import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdentities, type Identities } from '../../../../test/support/identities.ts'
import { type PostgresServer, startPostgres } from '../../../../test/support/postgres.ts'
import { LogBrokenError } from '../../read-end.ts'
import { expectSame } from '../conformance.ts'
import { type LogStore, StoreError } from '../store.ts'
import { ModelLog, someEntries } from '../test-support/model-log.ts'
import type { PostgresSettings } from './connection.ts'
import { openPostgresReader, openPostgresStore } from './open-postgres-store.ts'

let folder: string
let server: PostgresServer
let identities: Identities
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-postgres-test-'))
  identities = await createIdentities()
  const certificate = await readFile(join(identities.folder, 'https.pem'), 'utf8')
  server = await startPostgres({
    certificate,
    access: ['local all all trust', 'host all secretive all scram-sha-256', 'hostssl all encrypted all trust', 'hostnossl all encrypted all reject', 'host all all all trust'],
  })
  await server.query('postgres', `CREATE ROLE secretive LOGIN PASSWORD 'the right one'; CREATE ROLE encrypted LOGIN; CREATE ROLE owner LOGIN; CREATE ROLE writer LOGIN`)
})
afterAll(async () => {
  await server.remove()
  await identities.close()
  await rm(folder, { recursive: true, force: true })
})

async function database(owner = 'postgres'): Promise<string> {
  const name = await server.createDatabase()
  await server.query('postgres', `ALTER DATABASE ${name} OWNER TO ${owner}`)
  return name
}

async function withStore(settings: PostgresSettings, use: (store: LogStore) => Promise<void>): Promise<void> {
  const store = await openPostgresStore({ settings, wait: false, timing: { beatMs: 50, answerMs: 2000 } })
  try {
    await use(store)
  } finally {
    await store.close()
  }
}

/** Opening that must fail, although it would wait for what passes: with this message. */
async function refusal(settings: PostgresSettings): Promise<string> {
  try {
    await withStore(settings, async () => {})
  } catch (thrown) {
    if (thrown instanceof StoreError || thrown instanceof LogBrokenError) return thrown.message
    throw thrown
  }
  throw new Error('it was opened')
}

describe('a server whose word does not hold', () => {
  test.each(['fsync', 'full_page_writes'])('with %s off is refused, and left when that is switched off later', async (setting) => {
    const settings = server.settingsOf(await database())
    const set = async (value: string): Promise<void> => {
      await server.query('postgres', `ALTER SYSTEM SET ${setting} = ${value}`)
      await server.query('postgres', 'SELECT pg_reload_conf()')
      for (const end = Date.now() + 5000; Date.now() < end; await delay(10)) if ((await server.query('postgres', `SHOW ${setting}`))[0]?.[setting] === value) return
    }
    await withStore(settings, async (store) => {
      const model = new ModelLog()
      await model.append(store, someEntries(3, 'before'))
      try {
        await set('off')
        for (const end = Date.now() + 5000; !store.lost.aborted && Date.now() < end; ) await delay(10)
        expect(String(store.lost.reason)).toContain(`${setting} off`)
        await expect(store.append(model.batch(someEntries(1, 'after')))).rejects.toBeInstanceOf(StoreError)
        expect(await refusal(settings)).toContain(`${setting} off`)
      } finally {
        await set('on')
      }
    })
    await withStore(settings, async (store) => expect((await store.head()).size).toBe(3))
  })

  test('a role or database with synchronous_commit off changes nothing: the session has it on', async () => {
    const name = await database('owner')
    await server.query('postgres', `ALTER DATABASE ${name} SET synchronous_commit = off; ALTER ROLE owner SET synchronous_commit = off`)
    const shown = await server.query(name, 'SHOW synchronous_commit')
    expect(shown).toEqual([{ synchronous_commit: 'off' }])
    await withStore(server.settingsOf(name, 'owner'), async (store) => {
      await new ModelLog().append(store, someEntries(3, 'on'))
    })
    await server.query('postgres', 'ALTER ROLE owner RESET synchronous_commit')
  })

  test('that would lose a table in a crash is refused', async () => {
    const name = await database()
    await withStore(server.settingsOf(name), async () => {})
    await server.query(name, 'ALTER TABLE intramuros_audit.tile SET UNLOGGED')
    expect(await refusal(server.settingsOf(name))).toContain('intramuros_audit.tile as an unlogged one')
  })
})

describe('tables', () => {
  test('of a newer release are refused', async () => {
    const name = await database()
    await withStore(server.settingsOf(name), async () => {})
    await server.query(name, 'UPDATE intramuros_audit.version SET number = 99')
    expect(await refusal(server.settingsOf(name))).toContain('made by a newer release')
  })

  test('with rows that are gone are noticed: at the end when it is opened, elsewhere when they are read', async () => {
    const name = await database()
    await withStore(server.settingsOf(name), async (store) => {
      await new ModelLog().append(store, someEntries(300, 'rows'))
      await server.query(name, 'DELETE FROM intramuros_audit.entry WHERE index = 7')
      await expect(Array.fromAsync(store.entries(0, 300))).rejects.toThrow('1 of the entries 0 to 299')
      expect(await Array.fromAsync(store.entries(8, 300))).toHaveLength(292)
      await server.query(name, 'DELETE FROM intramuros_audit.entry WHERE index = 299')
    })
    expect(await refusal(server.settingsOf(name))).toContain('a head at 300 and 299 entries')
  })

  test('that already have what is appended give an error that holds nothing of an entry', async () => {
    const name = await database()
    await withStore(server.settingsOf(name), async (store) => {
      await server.query(name, `INSERT INTO intramuros_audit.entry (index, data) VALUES (1, 'canary-1')`)
      const model = new ModelLog()
      const failure: unknown = await store.append(model.batch([Buffer.from('canary-0'), Buffer.from('canary-2')])).catch((thrown: unknown) => thrown)
      expect(failure).toMatchObject({ stored: 'no', message: 'PostgreSQL failed: appending: error 23505.' })
      expect(inspect(failure, { depth: 10, showHidden: true })).not.toMatch(/canary|63616e617279/)
      await expectSame(store, model)
    })
  })

  test('made by their owner are written by a role that can neither change nor remove what is there', async () => {
    const name = await database('owner')
    expect(await refusal(server.settingsOf(name, 'writer'))).toContain('docs/audit-postgres.md')
    await withStore(server.settingsOf(name, 'owner'), async () => {})
    const docs = await readFile(join(import.meta.dirname, '../../../../docs/audit-postgres.md'), 'utf8')
    const grants = /```sql\n(GRANT[^`]*)```/.exec(docs)?.[1] ?? ''
    expect(grants).toContain('TO intramuros_writer')
    await server.query(name, grants.replaceAll('intramuros_writer', 'writer'))
    await withStore(server.settingsOf(name, 'writer'), async (store) => {
      const model = new ModelLog()
      await model.append(store, someEntries(600, 'rights'))
      await model.publish(store, 'checkpoint\n')
      await model.prune(store, [5, 599])
      await expectSame(store, model)
    })
    for (const act of ['DELETE FROM intramuros_audit.entry', 'UPDATE intramuros_audit.tile SET index = 9', 'DROP TABLE intramuros_audit.entry', 'UPDATE intramuros_audit.entry SET index = 9999', 'TRUNCATE intramuros_audit.head']) {
      await expect(server.query(name, `SET ROLE writer; ${act}`)).rejects.toThrow(/permission denied|must be owner/)
    }
  })

  test('are read by others beside the one that writes them', async () => {
    const settings = server.settingsOf(await database())
    await withStore(settings, async (store) => {
      const model = new ModelLog()
      await model.append(store, someEntries(700, 'read'))
      const reader = await openPostgresReader(settings)
      try {
        expect((await reader.head()).size).toBe(700)
        expect((await Array.fromAsync(reader.entries(0, 700))).length).toBe(700)
        await model.append(store, someEntries(1, 'more'))
        expect(await reader.tile(0, 2, 189)).toEqual(model.tile(0, 2, 189))
      } finally {
        await reader.close()
      }
    })
  })
})

describe('a connection', () => {
  test('asks for its password in a file, and never tells it', async () => {
    const name = await database('secretive')
    const passwordFile = join(folder, 'password')
    const settings = { ...server.settingsOf(name, 'secretive'), passwordFile }
    expect(await refusal({ ...settings, passwordFile: '' })).toContain('audit.postgres.passwordFile')
    expect(await refusal(settings)).toContain(`${passwordFile} can't be read (ENOENT)`)
    await writeFile(passwordFile, 'the wrong one\n')
    const wrong = await refusal(settings)
    expect(wrong).toContain('password authentication failed')
    expect(wrong).not.toContain('the wrong one')
    await writeFile(passwordFile, 'the right one\n')
    await withStore(settings, async () => {})
  })

  test('does without the password that libpq would find in the environment', async () => {
    const settings = server.settingsOf(await database('secretive'), 'secretive')
    process.env['PGPASSWORD'] = 'the right one'
    try {
      expect(await refusal(settings)).toContain('audit.postgres.passwordFile')
    } finally {
      delete process.env['PGPASSWORD']
    }
  })

  test('by TLS holds the certificate and the name in it against the CA', async () => {
    const name = await database('encrypted')
    const settings: PostgresSettings = { ...server.settingsOf(name, 'encrypted'), tls: 'verify-full', caFile: join(identities.folder, 'ca.crt') }
    await withStore(settings, async (store) => {
      const rows = await server.query('postgres', `SELECT bool_and(ssl) AS all FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '${name}'`)
      expect(rows).toEqual([{ all: true }])
      await new ModelLog().append(store, someEntries(3, 'tls'))
    })
    const others = await createIdentities()
    try {
      expect(await refusal({ ...settings, caFile: join(others.folder, 'ca.crt') })).toMatch(/certificate/i)
    } finally {
      await others.close()
    }
    expect(await refusal({ ...settings, caFile: '' })).toMatch(/certificate/i)
    expect(await refusal({ ...settings, tls: 'off' })).toContain('rejects connection')

    // A certificate of the right CA, for another name.
    await writeFile(join(server.folder, 'server.pem'), await readFile(join(identities.folder, 'audit.pem'), 'utf8'))
    await server.query('postgres', 'SELECT pg_reload_conf()')
    let told = ''
    for (const end = Date.now() + 5000; !told.includes("does not match") && Date.now() < end; await delay(20)) told = await refusal(settings).catch(() => '')
    expect(told).toContain("does not match certificate's altnames")
  })

  test('by a socket needs no TLS', async () => {
    const settings = server.settingsOf(await database())
    await withStore({ ...settings, tls: 'verify-full', address: { ...settings.address, host: server.folder } }, async () => {})
  })

  test('that is refused is told with its place; while it waits, only to whoever listens', async () => {
    const settings = server.settingsOf('log_0')
    const closed = { ...settings, address: { ...settings.address, port: 1 } }
    expect(await refusal(closed)).toBe('No connection to PostgreSQL at 127.0.0.1:1/log_0: ECONNREFUSED.')
    const told: string[] = []
    const waiting = openPostgresStore({ settings: closed, wait: true, signal: AbortSignal.timeout(400), timing: { retryMs: 20 }, onWaiting: ({ why }) => told.push(why) })
    await expect(waiting).rejects.toThrow(/abort|timeout/i)
    expect(told).toHaveLength(1)
    await expect(openPostgresStore({ settings, wait: true })).rejects.toThrow('database "log_0" does not exist')
  })
})
