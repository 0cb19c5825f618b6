import type { Config } from '../../../shared/config/schema.ts'
import { parsePostgresUrl } from '../../../shared/config/postgres-url.ts'
import type { PostgresSettings } from './connection.ts'
import type { PostgresTiming } from './timing.ts'

/** What openPostgresStore wants, from the settings audit.postgres; undefined when the log is in a folder. */
export function postgresSettings({ url, passwordFile, tls, caFile, timeoutSeconds }: Config['audit']['postgres']): { settings: PostgresSettings; timing: Partial<PostgresTiming> } | undefined {
  const address = parsePostgresUrl(url)
  return address === undefined ? undefined : { settings: { address, passwordFile, tls, caFile }, timing: { answerMs: timeoutSeconds * 1000 } }
}
