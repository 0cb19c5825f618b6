import type { TreeHead } from '../store/store.ts'
import { openCheckpoint, parseCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { type NoteVerifier, parseNote, UnverifiedError } from '../tlog/note.ts'
import { checkpointPath } from '../tlog/tile-path.ts'
import { found } from './fault.ts'
import type { LogSource } from './log-source.ts'

export interface Published extends TreeHead {
  origin: string
}

export interface PublishedTwice {
  /** As the file says it, with its partial tiles beside. */
  served: Published | undefined
  /** As the writer's database says it; at most one newer. */
  stored: Published | undefined
}

/**
 * The newest checkpoint. Throws FaultFound when it is malformed, not signed by the key, of another log, or larger than what is there. Without
 * a key only its form is checked.
 */
export function readPublished({ head, checkpointFile }: LogSource, verifier: NoteVerifier | undefined): PublishedTwice {
  const open = (note: string | undefined): Published | undefined => {
    if (note === undefined) return undefined
    try {
      const checkpoint = verifier === undefined ? parseCheckpoint(parseNote(note).text) : openCheckpoint(note, { origin: verifier.name, log: [verifier] })
      if (head === undefined || checkpoint.size <= head.size) return checkpoint
      throw found('wrong_checkpoint', `The checkpoint is of ${checkpoint.size} records, and the log has ${head.size}: records were removed from its end, or it was restored from an old copy.`, { index: head.size, path: checkpointPath })
    } catch (thrown) {
      if (thrown instanceof MalformedError) throw found('malformed', `The checkpoint is malformed: ${thrown.message}.`, { path: checkpointPath })
      if (thrown instanceof UnverifiedError) throw found('wrong_checkpoint', `The checkpoint is not to be believed: ${thrown.message}.`, { path: checkpointPath })
      throw thrown
    }
  }
  return { served: open(checkpointFile), stored: open(head?.checkpoint) }
}
