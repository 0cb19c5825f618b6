import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { ServiceError } from '../../shared/errors.ts'
import { diagnose, type Fault } from './fault.ts'
import { isMissing, logFileName } from './files.ts'
import { emptyHead, type Head, readHead } from './head.ts'
import { type Line, readLines } from './lines.ts'
import { decodeLine, type LogRecord, noHash } from './record.ts'

export interface Intact {
  ok: true
  /** Records and their bytes, hash of the last, and whether the log was closed. */
  log: Head
  /** What the head file tells; the log may go on for some records after a crash, or while the service runs. */
  head: Head
  /** Bytes at the end that are no whole record: a crash cut them off, and nobody was told that they were stored. */
  tornBytes: number
}

export type Scan = Intact | ({ ok: false; log: Head } & Fault)

/**
 * Reads a whole log in bounded memory, calls `visit` for each record up to the first bad one, and says whether every record is what the
 * ledger wrote. Fit for a log that is being written: the head is read first, so the log can only be longer. Throws NOT_FOUND no_log.
 */
export async function scanLog(folder: string, visit: (record: LogRecord) => void): Promise<Scan> {
  const head = await readHead(folder)
  let file: FileHandle
  try {
    file = await open(join(folder, logFileName))
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown
    if (head === 'missing') throw new ServiceError('NOT_FOUND', 'no_log', 'There is no audit log in this folder.')
    if (head !== 'malformed' && head.count === 0) return { ok: true, log: emptyHead, head, tornBytes: 0 }
    const message = `Record 0 was removed: ${logFileName} is missing.`
    return { ok: false, log: emptyHead, kind: 'removed', position: 0, message }
  }
  try {
    return await scanFile(file, head, visit)
  } finally {
    await file.close()
  }
}

type HeadFile = Awaited<ReturnType<typeof readHead>>

async function scanFile(file: FileHandle, headFile: HeadFile, visit: (record: LogRecord) => void): Promise<Scan> {
  const head = typeof headFile === 'string' ? undefined : headFile
  const log: Head = { ...emptyHead }
  let before: LogRecord | undefined
  let tornBytes = 0
  for await (const line of readLines(file)) {
    const position = log.count
    if (head !== undefined && position >= head.count) {
      if (head.closed) return { ok: false, log, ...addedAtEnd(position, line) }
      if (isTorn(line)) {
        tornBytes = (await file.stat()).size - line.start
        break
      }
    }
    const record = line.whole ? decodeLine(line.text) : undefined
    if (record === undefined || record.seq !== position || record.prev !== log.hash) {
      return { ok: false, log, ...(await diagnose({ file, head, position, start: line.start, expected: log.hash, before })) }
    }
    if (head?.count === position + 1 && head.hash !== line.hash) {
      return { ok: false, log, ...(await differsFromHead(file, head, position, line)) }
    }
    visit(record)
    log.count += 1
    log.bytes += line.bytes
    log.hash = line.hash
    before = record
    if (head?.count === log.count && head.bytes !== log.bytes) return { ok: false, log, ...headUnusable('malformed', log.count) }
  }
  if (head === undefined) return { ok: false, log, ...headUnusable(headFile === 'missing' ? 'removed' : 'malformed', log.count) }
  const fault = endFault(head, log)
  if (fault !== undefined) return { ok: false, log, ...fault }
  return { ok: true, log: { ...log, closed: head.closed }, head, tornBytes }
}

/** A write that a crash cut: no newline, or blocks that the disk never got (they read as zeros). */
function isTorn(line: Line): boolean {
  return !line.whole || line.text.includes('\0'.repeat(16))
}

function addedAtEnd(position: number, line: Line): Fault {
  const seq = line.whole ? decodeLine(line.text)?.seq : undefined
  const message = `Record ${position} was added: the log was closed before it.`
  return { kind: 'added', position, ...(seq === undefined ? {} : { seq }), message }
}

/** The chain up to here holds, but the last record that the head vouches for is another one. */
async function differsFromHead(file: FileHandle, head: Head, position: number, line: Line): Promise<Fault> {
  for await (const next of readLines(file, line.start + line.bytes)) {
    if (next.hash !== head.hash) break
    const message = `A line was added at place ${position}: two lines claim to be record ${position}.`
    return { kind: 'added', position, seq: position, message }
  }
  return {
    kind: 'changed',
    position,
    seq: position,
    message:
      `Record ${position} was changed, or records before it were and all that follow rewritten to match: ` +
      'the head of the log knows another one.',
  }
}

function endFault(head: Head, log: Head): Fault | undefined {
  if (head.count === 0 && (head.bytes !== 0 || head.hash !== noHash)) return headUnusable('malformed', log.count)
  if (head.count <= log.count) return undefined
  // What the head says of the last record fits the log as it is: its count is what's wrong.
  if (head.bytes === log.bytes && head.hash === log.hash) return headUnusable('malformed', log.count)
  const which = head.count === log.count + 1 ? `Record ${log.count} was` : `Records ${log.count} to ${head.count - 1} were`
  return { kind: 'removed', position: log.count, message: `${which} removed: the log ends before.` }
}

function headUnusable(kind: 'removed' | 'malformed', records: number): Fault {
  const what = `head.json was ${kind === 'removed' ? 'removed' : 'changed'}`
  return { kind, position: records, message: `The chain of ${records} records holds, but ${what}: records may be missing from the log's end.` }
}
