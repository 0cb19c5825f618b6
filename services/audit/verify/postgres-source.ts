import { openPostgresReader } from '../store/postgres/open-postgres-store.ts'
import type { PostgresSettings } from '../store/postgres/connection.ts'
import { PostgresError } from '../store/postgres/postgres-error.ts'
import { StoreError } from '../store/store.ts'
import { encodeBundle } from '../tlog/bundle.ts'
import { fullWidth } from '../tlog/tile-path.ts'
import type { LogSource } from './log-source.ts'

/** The log of a database as it is at this moment; its service may be running. Throws PostgresError. */
export async function openPostgresSource(settings: PostgresSettings): Promise<LogSource> {
  const reader = await openPostgresReader(settings)
  const close = (): void => void reader.close()
  try {
    // The checkpoint first: it is never of more than the head that is read behind it.
    const checkpoint = await reader.checkpoint()
    const { size, root } = await reader.head()
    return {
      head: { size, root, moved: 0, checkpoint },
      checkpointFile: undefined,
      file: () => Promise.resolve(undefined),
      tile: ({ level, index, width }) => reader.tile(level, index, width),
      async bundle({ index, width }) {
        try {
          return encodeBundle(await Array.fromAsync(reader.entries(index * fullWidth, index * fullWidth + width)))
        } catch (thrown) {
          // Rows that are gone, not a database that is.
          if (thrown instanceof StoreError && !(thrown instanceof PostgresError)) return undefined
          throw thrown
        }
      },
      // It stands in the tile.
      prunedHash: () => undefined,
      close,
    }
  } catch (thrown) {
    close()
    throw thrown
  }
}
