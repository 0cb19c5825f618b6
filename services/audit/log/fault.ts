import type { FileHandle } from 'node:fs/promises'
import type { Head } from './head.ts'
import { type Line, readLines } from './lines.ts'
import { decodeLine, type LogRecord } from './record.ts'

/**
 * changed: a record is not the one that was written; removed: it is gone; added: a line that the ledger did not write there;
 * reordered: a record stands elsewhere; malformed: a line is no record at all.
 */
export type FaultKind = 'changed' | 'removed' | 'added' | 'reordered' | 'malformed'

export interface Fault {
  kind: FaultKind
  /** Place of the first bad record, from 0; its line in the file is one more. */
  position: number
  /** The number that the line at that place gives itself, if one can be read there. */
  seq?: number
  /** One sentence for people. */
  message: string
}

export interface Break {
  file: FileHandle
  head: Head | undefined
  /** The place at which the chain breaks, and where its line starts in the file. */
  position: number
  start: number
  /** Hash of the line before. */
  expected: string
  /** The record before; undefined at the log's start. */
  before: LogRecord | undefined
}

interface Seen {
  line: Line
  record: LogRecord | undefined
}

/**
 * What was done to the log where its chain breaks: told from the numbers and hashes of the line there and of those around it, and
 * from whether the record that belongs there stands further on. After several changes the place is still the first one's, and the
 * kind a good guess.
 */
export async function diagnose({ file, head, position, start, expected, before }: Break): Promise<Fault> {
  const { current, next, genuine, again } = await lookAhead(file, start, position, expected)
  const record = current.record
  const fault = (kind: FaultKind, at: number, message: string): Fault => {
    const seq = at === position ? record?.seq : before?.seq
    return { kind, position: at, ...(seq === undefined ? {} : { seq }), message }
  }

  if (genuine !== undefined) {
    const { successor } = genuine
    // Either everything from here on is shifted by what was added, or records changed places among themselves.
    const shifted =
      successor === undefined
        ? record === undefined || record.seq <= position || record.seq > genuine.position
        : successor.record?.seq === position + 1 && successor.record.prev === genuine.hash
    if (!shifted) return fault('reordered', position, `Record ${position} was moved: it stands at place ${genuine.position}.`)
    const ofThisLog = record !== undefined && (record.seq < genuine.end - 1 || head?.hash === current.line.hash)
    const movedHere = ofThisLog && record.seq > position && !again
    if (movedHere) return fault('reordered', position, `Record ${record.seq} was moved: it stands at place ${position}.`)
    return fault('added', position, `A line was added at place ${position}: record ${position} follows it.`)
  }
  if (record === undefined) {
    return fault('malformed', position, `Record ${position} is ${current.line.whole ? 'malformed' : 'cut off'}.`)
  }
  const changed = (at: number): Fault => fault('changed', at, `Record ${at} was changed.`)
  const last = next === undefined
  const confirmedByHead = last && head?.hash === current.line.hash
  const succeeded = next?.record?.prev === current.line.hash

  if (record.prev === expected) return changed(position)
  if (before !== undefined && record.seq === before.seq && record.prev === before.prev) {
    // Two lines claim the same place; the one that the log goes on from is the ledger's.
    const identical = current.line.hash === expected
    const at = !identical && (succeeded || confirmedByHead) ? position - 1 : position
    return fault('added', at, `A line was added at place ${at}: two lines claim to be record ${before.seq}.`)
  }
  if (record.seq === position) return changed(position > 0 && (succeeded || confirmedByHead) ? position - 1 : position)
  const inItsPlace = last ? record.seq < position && head?.count === position + 1 : next.record?.seq === position + 1
  if (inItsPlace) return changed(position)
  if (record.seq < position) {
    return fault('added', position, `A line was added at place ${position}: it claims to be record ${record.seq}.`)
  }
  const missing = record.seq - position
  const which = missing === 1 ? `Record ${position} was removed.` : `Records ${position} to ${record.seq - 1} were removed.`
  return fault('removed', position, which)
}

interface Ahead {
  current: Seen
  next: Seen | undefined
  /** The record that belongs at the break's place, if it stands further on; the line after it; how many lines there are. */
  genuine: { position: number; hash: string; successor: Seen | undefined; end: number } | undefined
  /** Whether a further line gives itself the number of the current one. */
  again: boolean
}

/** Reads the log from the break to its end, keeping only the few lines that tell what happened. */
async function lookAhead(file: FileHandle, start: number, position: number, expected: string): Promise<Ahead> {
  let current: Seen | undefined
  let next: Seen | undefined
  let genuine: Ahead['genuine']
  let again = false
  let at = position
  for await (const line of readLines(file, start)) {
    const seen: Seen = { line, record: line.whole ? decodeLine(line.text) : undefined }
    if (current === undefined) current = seen
    else {
      next ??= seen
      again ||= seen.record !== undefined && seen.record.seq === current.record?.seq
      if (genuine !== undefined) genuine.successor ??= seen
      else if (seen.record?.seq === position && seen.record.prev === expected) {
        genuine = { position: at, hash: line.hash, successor: undefined, end: 0 }
      }
    }
    at += 1
  }
  if (current === undefined) throw new Error('The log was shortened while it was read.')
  if (genuine !== undefined) genuine.end = at
  return { current, next, genuine, again }
}
