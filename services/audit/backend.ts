import { writeFileSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../shared/config/schema.ts'
import { describeError, type Logger } from '../shared/log.ts'
import { followLog } from './follow-log.ts'
import { type LogIndex, openLogIndex } from './index/log-index.ts'
import type { EntryOf } from './records/record.ts'
import { openSigner, type SignerError } from './signer.ts'
import { openFolderStore } from './store/folder/folder-store.ts'
import { openPostgresReader, openPostgresStore } from './store/postgres/open-postgres-store.ts'
import { postgresSettings } from './store/postgres/settings.ts'
import type { LogStore } from './store/store.ts'

/** Where the log is kept, as the settings have it. */
export interface Backend {
  /** Another process may have taken the log over from this one, as it should when this one hung. */
  readonly shared: boolean
  /**
   * Opens the store once this process is the only one that writes the log. In PostgreSQL that may take for ever: it stands by, or waits for
   * the database. Throws what the stores throw, and SignerError.
   */
  openStore(): Promise<LogStore>
  /** The index of the log; the same each time. `store` is the log's. */
  indexOf(store: LogStore): LogIndex
  /** The process ends because the store was lost: noted down for the next one, which may find it back again. At once. */
  noteLost(): void
  /** What is to be recorded of the time in which the store was away while this process waited. */
  gap(): EntryOf<'log.gap'> | undefined
  /** After the store and the index. */
  close(): Promise<void>
}

type Audit = Config['audit']

/** How long a predecessor that is ending may take to let go of the folder. */
const lockWaitMs = 10_000

export function createBackend(audit: Audit, log: Logger): Backend {
  const settings = postgresSettings(audit.postgres)
  return settings === undefined ? folderBackend(audit, log) : postgresBackend(audit, settings, log)
}

function folderBackend({ folder, appendTimeoutSeconds }: Audit, log: Logger): Backend {
  let troubled = false
  let index: LogIndex | undefined
  return {
    shared: false,
    openStore: () =>
      openFolderStore({
        folder,
        lockWaitMs,
        timeoutMs: appendTimeoutSeconds * 1000,
        onTrouble(error) {
          if (!troubled) log.warn({ err: describeError(error) }, 'files of the audit log could not be written; its records are safe, and they are tried again')
          troubled = true
        },
      }),
    indexOf: (store) => (index ??= openLogIndex({ file: indexFile(folder), store, log })),
    noteLost: () => undefined,
    gap: () => undefined,
    close: () => Promise.resolve(),
  }
}

function postgresBackend({ folder, keyFolder, keyFile, origin }: Audit, { settings, timing }: NonNullable<ReturnType<typeof postgresSettings>>, log: Logger): Backend {
  let reader: Awaited<ReturnType<typeof openPostgresReader>> | undefined
  let index: LogIndex | undefined
  let stopFollowing: (() => Promise<void>) | undefined
  /** Since when the database is away, as far as this process, or the one before it, has seen. */
  let awaySince: Date | undefined
  const lostFile = join(folder, 'lost-at')

  return {
    shared: true,
    async openStore() {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      awaySince = await readTime(lostFile)
      const following = (reader = await openPostgresReader(settings, timing))
      const refused = new AbortController()
      let refusal: SignerError | undefined
      const follow = (): void => {
        stopFollowing ??= followLog({
          store: following,
          openSigner: () => openSigner({ folder: keyFolder, keyFile, origin, isNew: false }),
          index: (index ??= openLogIndex({ file: indexFile(folder), store: following, log })),
          log,
          onRefused(error) {
            refusal = error
            refused.abort()
          },
        })
      }
      try {
        return await openPostgresStore({
          settings,
          timing,
          wait: true,
          signal: refused.signal,
          onWaiting({ why, for: what }) {
            log.warn({ reason: why }, what === 'writer' ? 'stands by: another audit service writes the log' : 'waits for PostgreSQL')
            // What another one can write is no gap, and if it can't, that is for it to tell.
            awaySince = what === 'writer' ? undefined : (awaySince ?? new Date())
            if (what === 'writer') follow()
          },
        })
      } catch (thrown) {
        throw refusal ?? thrown
      } finally {
        await stopFollowing?.()
        await rm(lostFile, { force: true })
      }
    },
    // On connections of its own, as before the store was opened.
    indexOf: (store) => (index ??= openLogIndex({ file: indexFile(folder), store: reader ?? store, log })),
    noteLost() {
      try {
        writeFileSync(lostFile, `${new Date().toISOString()}\n`, { mode: 0o600 })
      } catch (thrown) {
        log.warn({ err: describeError(thrown) }, 'it can not be noted down that the database was lost')
      }
    },
    gap: () => awaySince && { type: 'log.gap', from: awaySince.toISOString(), reason: 'store_down', refused: 0, unrecorded: 0 },
    close: async () => await reader?.close(),
  }
}

/** Undefined when there is none. */
async function readTime(file: string): Promise<Date | undefined> {
  const ms = Date.parse((await readFile(file, 'utf8').catch(() => '')).trim())
  return Number.isNaN(ms) ? undefined : new Date(Math.min(ms, Date.now()))
}

function indexFile(folder: string): string {
  return join(folder, 'index.db')
}
