import { afterAll, beforeAll, describe } from 'vitest'
import { type PostgresServer, startPostgres } from '../../../../test/support/postgres.ts'
import { logStoreConformance } from '../conformance.ts'
import { openBesideTheLock, openPostgresStore } from './open-postgres-store.ts'

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())

describe('PostgreSQL as a store', () => {
  logStoreConformance(async () => {
    const settings = server.settingsOf(await server.createDatabase())
    return {
      open: () => openPostgresStore({ settings, wait: false }),
      openBeside: () => openBesideTheLock(settings),
      async remove() {
        await server.query('postgres', `DROP DATABASE ${settings.address.database} WITH (FORCE)`)
      },
    }
  })
})
