import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isCheckpointFile } from '../anchors/checkpoint-file.ts'
import type { TreeHead } from '../store/store.ts'
import { openCheckpoint, parseCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { maxNoteLength, type NoteVerifier, parseNote, UnverifiedError } from '../tlog/note.ts'
import { found } from './fault.ts'

/** A checkpoint that somebody kept outside of the log. */
export interface SavedCheckpoint extends TreeHead {
  file: string
}

/**
 * Reads a checkpoint, or all of a folder that they were written to once, smallest first. Throws FaultFound for one that is malformed, or that
 * the key has not signed; without a key only its form is checked. Throws the error of the file system when there is nothing to read.
 */
export async function readSavedCheckpoints(path: string, verifier: NoteVerifier | undefined): Promise<SavedCheckpoint[]> {
  const saved: SavedCheckpoint[] = []
  for (const file of await filesOf(path)) {
    try {
      if ((await stat(file)).size > 4 * maxNoteLength) throw new MalformedError('the file is too long')
      const note = await readFile(file, 'utf8')
      const { size, root } = verifier === undefined ? parseCheckpoint(parseNote(note).text) : openCheckpoint(note, { origin: verifier.name, log: [verifier] })
      saved.push({ file, size, root })
    } catch (thrown) {
      if (thrown instanceof MalformedError) throw found('malformed', `${file} is no checkpoint: ${thrown.message}.`, { path: file })
      if (thrown instanceof UnverifiedError) throw found('wrong_checkpoint', `${file} is not to be believed: ${thrown.message}.`, { path: file })
      throw thrown
    }
  }
  return saved.toSorted((a, b) => a.size - b.size)
}

async function filesOf(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const names = await readdir(path)
  return names.filter(isCheckpointFile).map((name) => join(path, name))
}
