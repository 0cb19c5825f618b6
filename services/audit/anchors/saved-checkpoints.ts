import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type CheckpointKeys, openCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { maxNoteLength, UnverifiedError } from '../tlog/note.ts'
import { MissingTileError } from '../tlog/proofs.ts'
import { compareTrees, type LogTree } from './contains-tree.ts'
import { isCheckpointFile } from './checkpoint-file.ts'

/** A saved checkpoint that the log does not go on from, or that says nothing because it is damaged. */
export interface SavedFault {
  file: string
  kind: 'unreadable' | 'not_signed' | 'log_behind' | 'other_tree' | 'log_damaged'
  /** One sentence, for people. */
  what: string
}

export interface SavedCheckpointsResult {
  /** Checkpoints that the log contains. */
  held: number
  /** The greatest of those; 0 when there are none. */
  largest: number
  /** The first that it does not; sizes ascend. */
  fault: SavedFault | undefined
}

/**
 * Holds a log against a checkpoint that somebody kept: a file, or a folder that checkpoints were written to once. Stops at the first that
 * does not fit. A folder without one is `held: 0`, which proves nothing: the caller tells. Throws when the path can't be read.
 */
export async function holdAgainstSaved(path: string, log: LogTree, keys: CheckpointKeys): Promise<SavedCheckpointsResult> {
  let held = 0
  let largest = 0
  for (const file of await checkpointFiles(path)) {
    const found = await holdAgainst(file, log, keys)
    if (typeof found !== 'number') return { held, largest, fault: found }
    held += 1
    largest = Math.max(largest, found)
  }
  return { held, largest, fault: undefined }
}

/** Size of the checkpoint when the log contains it. */
async function holdAgainst(file: string, log: LogTree, keys: CheckpointKeys): Promise<number | SavedFault> {
  try {
    const { size, root } = openCheckpoint(await readNote(file), keys)
    const verdict = await compareTrees(log, { size, root })
    if (verdict === 'contained') return size
    if (verdict === 'behind') return { file, kind: 'log_behind', what: `A checkpoint of ${size} records was signed, but the log has ${log.head.size}.` }
    return { file, kind: 'other_tree', what: `The first ${size} records of the log are not those that were signed in this checkpoint.` }
  } catch (thrown) {
    if (thrown instanceof UnverifiedError) return { file, kind: 'not_signed', what: `${thrown.message}.` }
    if (thrown instanceof MissingTileError) return { file, kind: 'log_damaged', what: `The log can't be compared with it: ${thrown.message}.` }
    if (thrown instanceof MalformedError) return { file, kind: 'unreadable', what: `${thrown.message}.` }
    throw thrown
  }
}

async function checkpointFiles(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const names = (await readdir(path)).filter(isCheckpointFile)
  return names.toSorted().map((name) => join(path, name))
}

async function readNote(file: string): Promise<string> {
  if ((await stat(file)).size > 4 * maxNoteLength) throw new MalformedError('the file is too long for a checkpoint')
  return await readFile(file, 'utf8')
}
