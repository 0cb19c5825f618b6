import { join } from 'node:path'
import { openLog, type OpenLog, type OpenLogOptions } from '../open-log.ts'
import type { Entry } from '../records/record.ts'
import { openFolderStore } from '../store/folder/folder-store.ts'

export interface TestLogOptions extends Partial<OpenLogOptions> {
  folder?: string
  lockWaitMs?: number
}

/** Opens a log in `audit` of a folder, its key in `audit-key`, as the service does. */
export async function openTestLog(home: string, options: TestLogOptions = {}): Promise<OpenLog> {
  const { folder = join(home, 'audit'), lockWaitMs = 0, appendTimeoutMs = 10_000, ...others } = options
  const quiet = (): void => undefined
  return await openLog({
    openStore: () => openFolderStore({ folder, lockWaitMs, timeoutMs: appendTimeoutMs, onTrouble: quiet }),
    keyFolder: join(home, 'audit-key'),
    origin: '',
    appendTimeoutMs,
    checkpointMs: 1000,
    clockToleranceMs: 5000,
    instance: 'audit',
    version: '1.0.0',
    clock: Date.now,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    metrics: { group: quiet, refused: quiet },
    onRecord: quiet,
    onFailed: quiet,
    ...others,
  })
}

/** A short record; its name is a request's id. */
export function refusal(name: string): Entry {
  return { type: 'request.refused', team: 'default', keyId: 'key', source: '', endpoint: 'POST /v1/chat/completions', reason: 'limit', instance: name, count: 1 }
}
