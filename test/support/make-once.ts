import { existsSync, realpathSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFolder } from '../../services/audit/store/folder/lock.ts'

/** Longer than the slowest thing that is made: llama-server on a machine with two cores. */
const waitMs = 60 * 60_000

/**
 * Where things that are dear to make lie between test runs, beside the models that fetch-model.ts fetches. The real path: that of
 * a link to the folder, which a worktree may have, would be written into the programs of a Python environment.
 */
export function testCache(): string {
  return join(realpathSync(join(import.meta.dirname, '../../node_modules')), '.cache/intramuros-test')
}

/**
 * Lets `make` fill the empty folder `folder`, unless that was done before. Processes that ask at the same time wait for the
 * one that makes it; what was left half made is thrown away and made again. The folder never moves while it is made: a
 * Python environment holds its own path.
 */
export async function makeOnce(folder: string, make: () => Promise<void>): Promise<void> {
  const complete = join(folder, '.complete')
  if (existsSync(complete)) return
  const lockedFolder = `${folder}.lock`
  await mkdir(lockedFolder, { recursive: true })
  const lock = await lockFolder(lockedFolder, waitMs)
  if (lock === undefined) throw new Error(`Waited too long for another process that makes ${folder}.`)
  try {
    if (existsSync(complete)) return
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    await make()
    await writeFile(complete, '')
  } finally {
    lock.release()
  }
}
