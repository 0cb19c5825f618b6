import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as after } from 'node:timers/promises'

export interface Lock {
  release(): void
}

const tryEveryMs = 20

/**
 * Keeps other processes from writing the log of a folder. Node has no file locks; SQLite has, on every platform, and the
 * system releases them when the process dies. Waits at most `waitMs` for a predecessor that is ending; undefined when it did not.
 */
export async function lockFolder(folder: string, waitMs: number): Promise<Lock | undefined> {
  const path = join(folder, 'lock')
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (thrown) {
    // Opening one that is there, only to close it again, would drop the lock if this same process holds it (POSIX).
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
  }
  const deadline = performance.now() + waitMs
  for (;;) {
    const lock = tryLock(path)
    if (lock !== undefined || performance.now() >= deadline) return lock
    await after(tryEveryMs)
  }
}

function tryLock(path: string): Lock | undefined {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return { release: () => database.close() }
  } catch (thrown) {
    database.close()
    const busy = thrown instanceof Error && 'errcode' in thrown && thrown.errcode === 5 // SQLITE_BUSY
    if (busy) return undefined
    throw thrown
  }
}
