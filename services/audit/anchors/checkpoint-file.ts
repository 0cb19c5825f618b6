import { parseCheckpoint } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { parseNote } from '../tlog/note.ts'

/** 2^53 has 16 digits: the order of the names is that of the sizes. */
const digits = 16
const suffix = '.checkpoint'
const pattern = /^\d{16}\.checkpoint$/

/** What a checkpoint is called in a write-once place. */
export function checkpointFileName(size: number): string {
  return `${String(size).padStart(digits, '0')}${suffix}`
}

export function isCheckpointFile(name: string): boolean {
  return pattern.test(name)
}

/**
 * What is found where a checkpoint was to be put. Cosignatures may have come since, so that only what is signed is compared. `torn`: a
 * beginning of it, as a power failure may leave.
 */
export function compareWithFound(note: string, found: string): 'same' | 'other' | 'torn' | 'damaged' {
  if (found.length < note.length && note.startsWith(found)) return sameText(note, found) === true ? 'same' : 'torn'
  const same = sameText(note, found)
  if (same === undefined) return 'damaged'
  return same ? 'same' : 'other'
}

function sameText(note: string, found: string): boolean | undefined {
  try {
    const { text } = parseNote(found)
    parseCheckpoint(text)
    return text === parseNote(note).text
  } catch (thrown) {
    if (thrown instanceof MalformedError) return undefined
    throw thrown
  }
}
