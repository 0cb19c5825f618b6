import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ContentPart, SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { isMissing } from '../store/folder/place-file.ts'

/**
 * Files of kept content: `<team>/<key>/<day>/<two characters>/<request>`, each with the pieces of one request in the order in which they
 * came, a big-endian length of four bytes before each. What is asked for must be checked (validate-content.ts): it makes paths. A crash
 * may leave a piece cut at the end of a file; nobody was told that it is kept.
 */
export interface ContentFiles {
  /** A piece that is the last of its part is on disk, with all before it, when this resolves; any other may be lost by a crash. */
  append(piece: SealedPiece): Promise<void>
  /** The pieces of a request of the team of that name; none when nothing is kept. Throws DamagedContentError. */
  read(team: string, requestId: string): AsyncGenerator<SealedPiece, void, undefined>
  /** What there is, by key. */
  shelves(): Promise<Shelf[]>
  /** Takes all of a key out of the way, to be removed. */
  discard(shelf: Shelf): Promise<Shelf>
  /** How many requests have content there. */
  count(shelf: Shelf, days: readonly string[]): Promise<number>
  remove(shelf: Shelf, days: readonly string[] | 'all'): Promise<void>
}

/** All that a team has kept under a key. */
export interface Shelf {
  teamId: string
  keyId: string
  /** Its key was destroyed: it is only there until it is removed. */
  discarded: boolean
  /** "2026-11-23" */
  days: string[]
  folder: string
}

export class DamagedContentError extends Error {
  override readonly name = 'DamagedContentError'
}

/** More than a piece of 64 KiB with all of its fields. */
const mostFrameBytes = 128 * 1024
const discarded = '.discarded-'

export function openContentFiles(root: string): ContentFiles {
  /** Folders that are durable. */
  const known = new Set<string>()

  async function makeFolder(folder: string): Promise<void> {
    if (known.has(folder)) return
    if (folder !== root) await makeFolder(dirname(folder))
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await syncFolder(dirname(folder))
    known.add(folder)
  }

  async function shelves(): Promise<Shelf[]> {
    const all: Shelf[] = []
    for (const teamId of await foldersIn(root, /@/)) {
      for (const name of await foldersIn(join(root, teamId), /\./)) {
        const folder = join(root, teamId, name)
        const [keyId = '', after] = name.split(discarded)
        all.push({ teamId, keyId, discarded: after !== undefined, days: await foldersIn(folder, /^\d{4}-\d{2}-\d{2}$/), folder })
      }
    }
    return all
  }

  return {
    async append(piece) {
      const { teamId, keyId, day, requestId, part, sequence, final } = piece
      const path = join(root, teamId, keyId, day, requestId.slice(0, 2), requestId)
      const first = part === ContentPart.PROMPT && sequence === 0
      if (first) await makeFolder(dirname(path))
      // One that is there already, or is gone, is not what this piece belongs to.
      const file = await open(path, constants.O_WRONLY | constants.O_APPEND | (first ? constants.O_CREAT | constants.O_EXCL : 0), 0o600)
      try {
        const bytes = SealedPiece.encode(piece).finish()
        const frame = Buffer.alloc(4 + bytes.length)
        frame.writeUInt32BE(bytes.length)
        frame.set(bytes, 4)
        await file.writeFile(frame)
        if (final) await file.datasync()
      } finally {
        await file.close()
      }
      if (first) await syncFolder(dirname(path))
    },
    async *read(team, requestId) {
      for (const { teamId, discarded: gone, days, folder } of await shelves()) {
        if (gone || !teamId.startsWith(`${team}@`)) continue
        for (const day of days) {
          const file = await openIfThere(join(folder, day, requestId.slice(0, 2), requestId))
          if (file === undefined) continue
          yield* piecesIn(file)
          return
        }
      }
    },
    shelves,
    async discard(shelf) {
      const folder = `${shelf.folder}${discarded}${Date.now().toString(36)}`
      await rename(shelf.folder, folder)
      known.clear()
      return { ...shelf, discarded: true, folder }
    },
    async count({ folder }, days) {
      let requests = 0
      for (const day of days) for (const entry of await readdir(join(folder, day), { recursive: true, withFileTypes: true })) if (entry.isFile()) requests += 1
      return requests
    },
    async remove({ folder }, days) {
      known.clear()
      const folders = days === 'all' ? [folder] : days.map((day) => join(folder, day))
      for (const one of folders) {
        await rm(one, { recursive: true, force: true })
        await syncFolder(dirname(one))
      }
    },
  }
}

async function* piecesIn(file: FileHandle): AsyncGenerator<SealedPiece, void, undefined> {
  try {
    let position = 0
    const next = async (length: number): Promise<Buffer | undefined> => {
      const buffer = Buffer.alloc(length)
      let filled = 0
      while (filled < length) {
        const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
        if (bytesRead === 0) return undefined
        filled += bytesRead
      }
      position += length
      return buffer
    }
    for (;;) {
      const length = (await next(4))?.readUInt32BE()
      if (length === undefined) return
      if (length > mostFrameBytes) throw new DamagedContentError('A length in the file of a request can not be one.')
      const bytes = await next(length)
      if (bytes === undefined) return
      yield decoded(bytes)
    }
  } finally {
    await file.close()
  }
}

function decoded(bytes: Buffer): SealedPiece {
  try {
    return SealedPiece.decode(bytes)
  } catch (cause) {
    throw new DamagedContentError('A piece in the file of a request can not be read.', { cause })
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (thrown) {
    if (isMissing(thrown)) return undefined
    throw thrown
  }
}

/** Those that are ours: a volume may have a lost+found, which nobody may read. */
async function foldersIn(folder: string, ours: RegExp): Promise<string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).flatMap((entry) => (entry.isDirectory() && ours.test(entry.name) ? [entry.name] : [])).toSorted()
  } catch (thrown) {
    if (isMissing(thrown)) return []
    throw thrown
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
