import { openPostgresStore } from '../../../services/audit/store/postgres/open-postgres-store.ts'
import { ModelLog, someEntries } from '../../../services/audit/store/test-support/model-log.ts'
import type { PostgresSettings } from '../../../services/audit/store/postgres/connection.ts'

/** A writer in a process of its own: appends to an empty log as fast as it can, and says after each append how many entries it was told are stored. */
const { settings, timing } = JSON.parse(process.argv[2] ?? '') as { settings: PostgresSettings; timing: { answerMs: number; leaseMs: number } }
const store = await openPostgresStore({ settings, wait: false, timing })
const model = new ModelLog()
try {
  for (let group = 0; ; group++) {
    await model.append(store, someEntries(1 + (group % 7), `group ${group}`))
    process.send?.({ stored: model.head.size })
  }
} catch (thrown) {
  process.send?.({ stored: model.head.size, failed: thrown instanceof Error ? thrown.name : 'Error', lost: store.lost.aborted })
  await store.close()
  process.disconnect?.()
}
