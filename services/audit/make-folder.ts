import { chmod, mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * Makes a folder for its owner alone, with those above it, unless it is there. Its own name is on the disk when this resolves: what is synced
 * within it would be lost with it.
 */
export async function makeFolder(folder: string): Promise<void> {
  const path = resolve(folder)
  const made = await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
  const highest = made === undefined ? path : resolve(made)
  for (let child = path; ; child = dirname(child)) {
    // Also of one that was there: the process that made it may have died before it did this.
    await syncNames(dirname(child))
    if (child === highest || child === dirname(child)) return
  }
}

/** A folder that the service may not read was made and synced by somebody else. */
async function syncNames(folder: string): Promise<void> {
  let handle
  try {
    handle = await open(folder, 'r')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && (thrown.code === 'EACCES' || thrown.code === 'EPERM')) return
    throw thrown
  }
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
