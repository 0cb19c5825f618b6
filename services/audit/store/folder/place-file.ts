import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Files that appear whole or not at all: written beside, then renamed. All in one folder that is emptied at start, so that what a crash
 * left is found.
 */
const temporaryFolder = 'tmp'

export interface FilePlacer {
  /** Puts a file in its place: it is on the disk after the next sync(). */
  place(path: string, bytes: Uint8Array | string): void
  /** Removes a folder that files were placed in, with them, if it is there. */
  removeFolder(path: string): void
  /** Makes the entries of folders durable that files were placed in. */
  sync(): void
}

/** Removes what a crash left half written. Nobody else may be writing there. */
export function dropTemporaryFiles(folder: string): void {
  rmSync(join(folder, temporaryFolder), { recursive: true, force: true })
}

/** `folder` is that of the log, the paths are relative to it. */
export function createFilePlacer(folder: string): FilePlacer {
  const temporary = join(folder, temporaryFolder)
  mkdirSync(temporary, { recursive: true, mode: 0o700 })
  const own = randomUUID()
  const known = new Set<string>(['.'])
  const unsynced = new Set<string>()
  let serial = 0

  function makeFolder(path: string): void {
    if (known.has(path)) return
    makeFolder(dirname(path))
    mkdirSync(join(folder, path), { recursive: true, mode: 0o700 })
    // Whether it was there before a crash or not: its own entry must be durable before what is in it counts.
    unsynced.add(dirname(path))
    known.add(path)
  }

  return {
    place(path, bytes) {
      makeFolder(dirname(path))
      const file = join(temporary, `${own}-${serial++}`)
      const fd = openSync(file, 'wx', 0o600)
      try {
        const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
        for (let at = 0; at < data.length; ) at += writeSync(fd, data, at)
        fsyncSync(fd)
      } catch (thrown) {
        closeSync(fd)
        rmSync(file, { force: true })
        throw thrown
      }
      closeSync(fd)
      renameSync(file, join(folder, path))
      unsynced.add(dirname(path))
    },
    removeFolder(path) {
      if (!existsSync(join(folder, path))) return
      rmSync(join(folder, path), { recursive: true, force: true })
      for (const folders of [known, unsynced]) for (const one of folders) if (one === path || one.startsWith(`${path}/`)) folders.delete(one)
      unsynced.add(dirname(path))
    },
    sync() {
      for (const path of unsynced) {
        syncFolder(join(folder, path))
        unsynced.delete(path)
      }
    },
  }
}

/** Makes the entries of a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (thrown) {
    if (isMissing(thrown)) return undefined
    throw thrown
  }
}

export function listIfThere(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (thrown) {
    if (isMissing(thrown)) return []
    throw thrown
  }
}

export function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOENT' || thrown.code === 'ENOTDIR')
}
