import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Files that appear whole or not at all: written beside, then renamed. All in one folder that is emptied at start, so that what a crash
 * left is found.
 */
const temporaryFolder = 'tmp'

/** Files that are open at once, at most. */
const mostWritten = 128

export interface FilePlacer {
  /** Puts a file in its place: it is there, and on the disk, after the next sync(). When this or that throws, those since the last sync() may be missing. */
  place(path: string, bytes: Uint8Array | string): void
  /** Removes a folder that files were placed in, with them, if it is there. Those placed since the last sync() are none of it. */
  removeFolder(path: string): void
  /** Makes what was placed durable, and the entries of folders that it is in. */
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
  let written: Written[] = []
  let serial = 0

  function makeFolder(path: string): void {
    if (known.has(path)) return
    makeFolder(dirname(path))
    mkdirSync(join(folder, path), { recursive: true, mode: 0o700 })
    // Whether it was there before a crash or not: its own entry must be durable before what is in it counts.
    unsynced.add(dirname(path))
    known.add(path)
  }

  /** Takes back what is not in its place. */
  function drop(): void {
    for (const { file, fd } of written) {
      closeSync(fd)
      rmSync(file, { force: true })
    }
    written = []
  }

  /**
   * Puts what was written in its place. The syncs of many files one after the other cost a file system far less than a sync behind each: the
   * first takes the others' metadata along.
   */
  function settle(): void {
    try {
      for (const { fd } of written) fsyncSync(fd)
      for (const { file, path } of written) {
        renameSync(file, join(folder, path))
        unsynced.add(dirname(path))
      }
    } catch (thrown) {
      drop()
      throw thrown
    }
    for (const { fd } of written) closeSync(fd)
    written = []
  }

  return {
    place(path, bytes) {
      if (written.length === mostWritten) settle()
      try {
        makeFolder(dirname(path))
        const file = join(temporary, `${own}-${serial++}`)
        const fd = openSync(file, 'wx', 0o600)
        written.push({ path, file, fd })
        const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
        for (let at = 0; at < data.length; ) at += writeSync(fd, data, at)
      } catch (thrown) {
        drop()
        throw thrown
      }
    },
    removeFolder(path) {
      if (!existsSync(join(folder, path))) return
      rmSync(join(folder, path), { recursive: true, force: true })
      for (const folders of [known, unsynced]) for (const one of folders) if (one === path || one.startsWith(`${path}/`)) folders.delete(one)
      unsynced.add(dirname(path))
    },
    sync() {
      settle()
      for (const path of unsynced) {
        syncFolder(join(folder, path))
        unsynced.delete(path)
      }
    },
  }
}

interface Written {
  /** Where it belongs. */
  path: string
  /** Where it is. */
  file: string
  fd: number
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
