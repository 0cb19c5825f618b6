import { closeSync, constants, fdatasync, ftruncate, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { ServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import { logFileName } from './files.ts'
import { type Head, type HeadFile, openHead } from './head.ts'
import { lockFolder } from '../store/folder/lock.ts'
import { encodeLine, type Entry, hashLine, type LogRecord } from './record.ts'
import { createFolder, LogUnusableError, type Recovered, recoverLog } from './recover.ts'

export interface LogMetrics {
  /** A group became durable. */
  group(group: { entries: readonly Entry[]; seconds: number; logBytes: number }): void
}

export interface LogOptions {
  folder: string
  /** How long to wait for a predecessor that still writes the log, in milliseconds. */
  lockWaitMs: number
  /** Milliseconds since 1970. */
  clock: () => number
  log: Logger
  metrics: LogMetrics
  /** Called for each record that is in the log already, before openLog resolves. */
  onRecord: (record: LogRecord) => void
  /** Called once when the log can't go on in this process, and refuses appends from then on: end it, and the next one recovers. */
  onFailed: () => void
}

export interface AuditLog {
  /**
   * Resolves with the place of the first entry once all of them are durable. They must be valid (record.ts) and stay together.
   * Throws UNAVAILABLE audit_unavailable: then none of them counts, though after a crash they may be found in the log.
   */
  append(entries: readonly Entry[]): Promise<number>
  /** False once it has failed for good. */
  readonly usable: boolean
  readonly recovered: Recovered
  /** Waits for the appends under way, refuses further ones, and marks the log as closed. */
  close(): Promise<void>
}

interface Append {
  entries: readonly Entry[]
  resolve(index: number): void
  reject(error: ServiceError): void
}

/** Most records in one write: 1.5 MB or so. */
const maxGroupRecords = 4096

/**
 * Opens the log of a folder for writing, alone. Throws LogUnusableError when the log is broken or another process keeps it.
 */
export async function openLog(options: LogOptions): Promise<AuditLog> {
  const { folder, lockWaitMs, onRecord } = options
  await createFolder(folder)
  const lock = await lockFolder(folder, lockWaitMs)
  if (lock === undefined) {
    throw new LogUnusableError(`The audit log in ${folder} is being written by another process. Stop that one first.`)
  }
  try {
    const recovered = await recoverLog(folder, onRecord)
    const head = openHead(folder)
    // Synced, so that no head can be found after a power failure that says closed before records which follow.
    head.writeDurably({ ...recovered.log, closed: false })
    const fd = openSync(join(folder, logFileName), constants.O_WRONLY | constants.O_APPEND)
    return startAppending(options, recovered, head, fd, () => lock.release())
  } catch (thrown) {
    lock.release()
    throw thrown
  }
}

function startAppending(options: LogOptions, recovered: Recovered, headFile: HeadFile, fd: number, release: () => void): AuditLog {
  const { clock, log, metrics, onFailed } = options
  /** What is known to be on the disk. */
  let durable: Head = { ...recovered.log, closed: false }
  let waiting: Append[] = []
  let committing: Promise<void> | undefined
  let state: 'open' | 'closed' | 'failed' = 'open'
  let troubled = false

  function append(entries: readonly Entry[]): Promise<number> {
    if (state !== 'open') return Promise.reject(unavailable())
    return new Promise((resolve, reject) => {
      waiting.push({ entries, resolve, reject })
      committing ??= commitGroups()
    })
  }

  /** While a group is written and synced, the next one collects. */
  async function commitGroups(): Promise<void> {
    // What arrived in the same turn of the event loop, a frame of a lane for example, shares the first group.
    await new Promise((resolve) => setImmediate(resolve))
    while (waiting.length > 0) await commit(takeGroup())
    committing = undefined
  }

  /** Appends stay whole: one with more entries than a group may have is a group of its own. */
  function takeGroup(): Append[] {
    let records = 0
    const end = waiting.findIndex(({ entries }, index) => (records += entries.length) > maxGroupRecords && index > 0)
    if (end === -1) {
      const all = waiting
      waiting = []
      return all
    }
    return waiting.splice(0, end)
  }

  async function commit(group: Append[]): Promise<void> {
    const started = performance.now()
    const entries = group.length === 1 && group[0] !== undefined ? group[0].entries : group.flatMap((one) => one.entries)
    const { bytes, end } = encodeGroup(durable, entries, new Date(clock()).toISOString())
    try {
      writeAll(fd, bytes)
    } catch (thrown) {
      await undo(thrown)
      refuse(group, thrown)
      return
    }
    try {
      await sync(fd)
    } catch (thrown) {
      fail('the audit log could not be synced', thrown)
      refuse(group, thrown)
      return
    }
    let index = durable.count
    durable = end
    writeHead()
    if (troubled) log.info({ records: durable.count }, 'the audit log can be written again')
    troubled = false
    metrics.group({ entries, seconds: (performance.now() - started) / 1000, logBytes: durable.bytes })
    for (const { entries: own, resolve } of group) {
      resolve(index)
      index += own.length
    }
  }

  function writeHead(): void {
    try {
      headFile.write(durable)
    } catch (thrown) {
      // An older head stands before the same log: what it no longer vouches for is still chained.
      if (!troubled) log.warn({ err: describeError(thrown) }, 'the head of the audit log could not be written')
    }
  }

  /** A failed write, of a full disk for example: takes back what part of it was written. The next append tries again. */
  async function undo(cause: unknown): Promise<void> {
    try {
      await truncate(fd, durable.bytes)
      if (!troubled) {
        log.error({ err: describeError(cause), records: durable.count }, 'the audit log could not be written: requests are refused')
      }
      troubled = true
    } catch (thrown) {
      fail('the audit log could neither be written nor restored', thrown)
    }
  }

  /**
   * For good. After a failed sync the system takes pages for clean that the disk may never have got, so nothing that this process
   * reads back or syncs again proves anything: the next process checks the log as a whole and writes its end anew (recover.ts).
   */
  function fail(what: string, cause: unknown): void {
    if (state === 'failed') return
    state = 'failed'
    log.error({ err: describeError(cause), records: durable.count }, what)
    refuse(waiting.splice(0), cause)
    onFailed()
  }

  async function close(): Promise<void> {
    if (state === 'open') state = 'closed'
    await committing
    try {
      if (state === 'closed') headFile.writeDurably({ ...durable, closed: true })
    } finally {
      headFile.close()
      closeSync(fd)
      release()
    }
  }

  let closing: Promise<void> | undefined
  return {
    append,
    get usable() {
      return state !== 'failed'
    },
    recovered,
    close: () => (closing ??= close()),
  }
}

/** The lines of a group, and the log's head after them. */
function encodeGroup(from: Head, entries: readonly Entry[], at: string): { bytes: Buffer; end: Head } {
  let { count, hash } = from
  let text = ''
  for (const entry of entries) {
    const line = `${encodeLine(count, at, entry, hash)}\n`
    hash = hashLine(line)
    count += 1
    text += line
  }
  const bytes = Buffer.from(text, 'latin1')
  return { bytes, end: { count, bytes: from.bytes + bytes.length, hash, closed: false } }
}

function refuse(group: readonly Append[], cause: unknown): void {
  for (const { reject } of group) reject(unavailable(cause))
}

function unavailable(cause?: unknown): ServiceError {
  const message = 'The audit record could not be made durable.'
  return new ServiceError('UNAVAILABLE', 'audit_unavailable', message, { retryAfterMs: 2000, cause })
}

// The callback forms: a third of what FileHandle costs, once for every group.

/** Into the page cache, which takes microseconds: a way through the thread pool would take ten times as long. The sync goes that way. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset)
}

function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fdatasync(fd, (error) => (error === null ? resolve() : reject(error))))
}

function truncate(fd: number, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => ftruncate(fd, bytes, (error) => (error === null ? resolve() : reject(error))))
}
