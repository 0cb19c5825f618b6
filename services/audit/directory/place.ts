import { join } from 'node:path'
import type { Config } from '../../shared/config/schema.ts'
import type { PostgresSettings } from '../store/postgres/connection.ts'
import { postgresSettings } from '../store/postgres/settings.ts'
import type { PostgresTiming } from '../store/postgres/timing.ts'

/** Where teams and keys are when several audit services share one log: sealed, in its database. */
export interface DirectoryPlace {
  settings: PostgresSettings
  timing: Partial<PostgresTiming>
  /** File of the key that signs the log, which all of them have: what is in the database is sealed with one that is derived from it. */
  keyFile: string
}

/** Undefined when they are in files of the state folder. */
export function directoryPlace({ directory, postgres, keyFile, keyFolder }: Config['audit']): DirectoryPlace | undefined {
  const found = directory ? postgresSettings(postgres) : undefined
  return found && { ...found, keyFile: keyFile === '' ? join(keyFolder, 'log.key') : keyFile }
}
