import { constants } from 'node:fs'
import { type FileHandle, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { parseNote } from '../tlog/note.ts'
import type { ReadTile } from '../tlog/proofs.ts'
import { type Anchor, AnchorConflictError, AnchorError } from './anchor.ts'
import { compareTrees } from './contains-tree.ts'
import { checkpointFileName, compareWithFound, isCheckpointFile } from './checkpoint-file.ts'

export interface FolderAnchorOptions {
  name: string
  /** Must be there: an empty folder made in the place of a mount that is away would look like a copy and be none. */
  folder: string
  readTile: ReadTile
}

/**
 * One file for each checkpoint, made exclusively, synced, then read-only. Nothing that stands there is ever written over. What keeps others
 * from that is the file system's: a volume of another machine, write-once storage, `chattr +a`.
 */
export function createFolderAnchor({ name, folder, readTile }: FolderAnchorOptions): Anchor {
  return {
    name,
    kind: 'folder',
    async put({ size, note }) {
      try {
        await checkNewest(folder, note, readTile)
        const path = join(folder, checkpointFileName(size))
        const made = await create(path, note)
        if (!made) await settle(path, note, size)
        await sync(folder)
      } catch (thrown) {
        if (thrown instanceof AnchorError) throw thrown
        throw new AnchorError(`The folder could not be written (${codeOf(thrown)}).`, { cause: thrown })
      }
    },
    close: () => undefined,
  }
}

/** The newest there must be one that the log goes on from: else it was set back, or written anew. */
async function checkNewest(folder: string, note: string, readTile: ReadTile): Promise<void> {
  const head = parseCheckpoint(parseNote(note).text)
  const last = (await readdir(folder)).filter(isCheckpointFile).toSorted().at(-1)
  // Of the same size: see settle.
  if (last === undefined || last === checkpointFileName(head.size)) return
  try {
    const saved = parseCheckpoint(parseNote(await readFile(join(folder, last), 'utf8')).text)
    const verdict = saved.origin === head.origin ? await compareTrees({ head, readTile }, saved) : 'other'
    if (verdict === 'behind') throw new AnchorConflictError(`The folder has a checkpoint of ${saved.size} records, and the log's newest is of ${head.size}: the log was set back.`)
    if (verdict === 'other') throw new AnchorConflictError(`The log does not go on from the checkpoint of ${saved.size} records in the folder: it was replaced, or this is the folder of another one.`)
  } catch (thrown) {
    if (!(thrown instanceof MalformedError)) throw thrown
    // What a power failure cut off is passed over for good: it says nothing against the log.
    if (last < checkpointFileName(head.size)) return
    throw new AnchorConflictError(`${last} in the folder is no checkpoint: somebody wrote it, or it is damaged.`)
  }
}

/** False when there is a file. */
async function create(path: string, note: string): Promise<boolean> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return false
    throw thrown
  }
  await finish(file, note)
  return true
}

/** A file stands there: the same checkpoint, the beginning that a power failure left of it, or something else. */
async function settle(path: string, note: string, size: number): Promise<void> {
  const found = await readFile(path)
  const verdict = compareWithFound(note, found.toString('utf8'))
  if (verdict === 'same') return
  if (verdict === 'other') throw new AnchorConflictError(`The folder has another checkpoint of ${size} records than the log: one of the two was forged, or this is the folder of another log.`)
  // Only one that was never finished is still writable; by appending alone, nothing that stands there is lost.
  const unfinished = verdict === 'torn' && Buffer.from(note).subarray(0, found.length).equals(found)
  if (!unfinished) throw new AnchorConflictError(`${checkpointFileName(size)} in the folder is no checkpoint: somebody wrote it, or it is damaged.`)
  await finish(await open(path, constants.O_WRONLY | constants.O_APPEND), Buffer.from(note).subarray(found.length))
}

async function finish(file: FileHandle, rest: string | Uint8Array): Promise<void> {
  try {
    await file.writeFile(rest)
    await file.chmod(0o444)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'unknown'
}
