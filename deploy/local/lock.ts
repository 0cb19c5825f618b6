import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isAlive } from './is-alive.ts'
import { readPlatformFile } from './platform-file.ts'
import { StartError } from './start-error.ts'

const sqliteBusy = 5

export interface Lock {
  release(): void
}

/**
 * Takes the state folder for this process alone, and makes it with the launcher's own folders in it. The operating
 * system drops the lock with the process, however that ends, so none can go stale. SQLite is the portable way to such
 * a lock from Node. Throws a StartError naming the process that holds it.
 */
export function lockHome(home: string): Lock {
  const file = join(home, 'run', 'lock.sqlite')
  try {
    for (const folder of ['run', 'cache']) mkdirSync(join(home, folder), { recursive: true, mode: 0o700 })
    createPrivately(file)
  } catch (thrown) {
    throw unusable(home, thrown)
  }
  const database = new DatabaseSync(file, { timeout: 0 })
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (thrown) {
    database.close()
    const busy = thrown instanceof Error && 'errcode' in thrown && thrown.errcode === sqliteBusy
    throw busy ? new StartError(alreadyRunning(home)) : unusable(home, thrown)
  }
  return { release: () => database.close() }
}

/**
 * SQLite would make it readable for others. Never opens a file that is there: closing it would drop a lock of this
 * process (POSIX).
 */
function createPrivately(file: string): void {
  if (existsSync(file)) return
  try {
    closeSync(openSync(file, 'ax', 0o600))
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
  }
}

function unusable(home: string, cause: unknown): StartError {
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
  return new StartError(`The state folder ${home} can't be written${code}: is its disk full or read-only, or does it belong to somebody else? INTRAMUROS_HOME moves it.`)
}

function alreadyRunning(home: string): string {
  const running = readPlatformFile(home)
  const elsewhere = 'use another state folder with INTRAMUROS_HOME (or --home)'
  // A file of a launcher that was killed stays until the next one has taken over.
  if (running === undefined || !isAlive(running.pid)) {
    return `Another process is starting Intramuros on the state folder ${home}: wait for it, or ${elsewhere}.`
  }
  const { pid, startedAt, address } = running
  return (
    `Intramuros is already running as process ${pid} since ${startedAt} on the state folder ${home} (${address}): ` +
    `stop it with Ctrl-C there or \`kill ${pid}\`, or ${elsewhere}.`
  )
}
