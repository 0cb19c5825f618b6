import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../shared/log.ts'
import { openPublisher, type Publisher } from './publisher.ts'
import { LogBrokenError, readEnd } from './read-end.ts'
import { decodeRecord, type Entry, type EntryOf, type LogRecord } from './records/record.ts'
import { type AuditLog, createSequencer, type LogMetrics } from './sequencer.ts'
import { checkSigned, openSigner, type Signer, SignerError } from './signer.ts'
import { DatabaseUnusableError } from './store/folder/database.ts'
import { FolderLockedError } from './store/folder/folder-store.ts'
import type { LogStore } from './store/store.ts'
import { MissingTileError } from './tlog/proofs.ts'

export interface OpenLogOptions {
  /** Opens the store, of which the log is the only writer from then on. */
  openStore: () => Promise<LogStore>
  keyFolder: string
  /** Of the key alone, where it is not in that folder; empty otherwise. */
  keyFile?: string
  origin: string
  appendTimeoutMs: number
  checkpointMs: number
  clockToleranceMs: number
  /** Who writes, for the records of the log itself. */
  instance: string
  version: string
  clock: () => number
  log: Logger
  metrics: LogMetrics
  /**
   * Tells of the first entries from what is kept of them elsewhere, so that they need not be read again, and how many these are. Undefined:
   * of none. `size` is the log's.
   */
  goOn?: (store: LogStore, size: number) => Promise<number>
  /** Called for each record that is in the log already, behind those, and was not pruned, in their order, before openLog resolves. */
  onRecord: (index: number, record: LogRecord) => void
  /** What is to be recorded before anything else: that nothing could be, for a while. */
  gap?: () => EntryOf<'log.gap'> | undefined
  /** Called once when the log can't go on in this process. */
  onFailed: (cause: unknown) => void
}

export interface OpenLog {
  append(entries: readonly Entry[]): Promise<number>
  /** False while it can't be written. */
  readonly writable: boolean
  readonly usable: boolean
  readonly size: number
  checkpointOf: Publisher['checkpointOf']
  publishCosigned: Publisher['publishCosigned']
  readonly store: LogStore
  readonly signer: Signer
  /** Tells of what is committed from now on, in order. */
  onCommitted(listener: (first: number, entries: readonly Uint8Array[]) => void): void
  close(): Promise<void>
}

/** A log that can't be written to, told for the operator. No restart mends it. */
export class LogUnusableError extends Error {
  override readonly name = 'LogUnusableError'
}

/** Opens the log for writing, alone. Throws LogUnusableError; and StoreError when the store can't be used now. */
export async function openLog(options: OpenLogOptions): Promise<OpenLog> {
  try {
    const store = await options.openStore()
    try {
      return await start(store, options)
    } catch (thrown) {
      await store.close()
      throw thrown
    }
  } catch (thrown) {
    if (thrown instanceof FolderLockedError || thrown instanceof SignerError) throw new LogUnusableError(thrown.message)
    if (thrown instanceof DatabaseUnusableError || thrown instanceof LogBrokenError || thrown instanceof MissingTileError) {
      throw new LogUnusableError(
        `The audit log is broken. ${thrown.message} It is not continued, so that the evidence stays as it is: ` +
          "check it with 'intramuros audit verify'; restore a copy of it, or move its folder and that of its key aside, keep them, and start again to begin a new log.",
      )
    }
    throw thrown
  }
}

async function start(store: LogStore, options: OpenLogOptions): Promise<OpenLog> {
  const { keyFolder, keyFile = '', origin, appendTimeoutMs, checkpointMs, clockToleranceMs, instance, version, clock, log, metrics, onRecord, onFailed } = options
  const end = await readEnd(store)
  const isNew = end.edge.size === 0 && (await store.checkpoint()) === undefined
  const signer = await openSigner({ folder: keyFolder, keyFile, origin, isNew })
  await checkSigned(signer, store)
  await replay(store, { from: (await options.goOn?.(store, end.edge.size)) ?? 0, to: end.edge.size, onRecord, log })

  const listeners: ((first: number, entries: readonly Uint8Array[]) => void)[] = []
  const sequencer: AuditLog = createSequencer({
    store,
    end,
    clock,
    log,
    metrics,
    appendTimeoutMs,
    clockToleranceMs,
    onCommitted(first, entries) {
      publisher?.grown()
      for (const listener of listeners) listener(first, entries)
    },
    onFailed,
  })
  let publisher: Publisher | undefined
  publisher = await openPublisher({
    store,
    signer,
    head: () => sequencer.head(),
    log,
    intervalMs: checkpointMs,
    onForked: (cause) => sequencer.fail('the audit log is not the one that was signed', cause),
  })
  const clean = end.edge.size === 0 || end.last?.type === 'log.closed'
  const opened = publisher
  let closed = false
  // It waits with the others while the log can't be written: that is no reason not to start.
  announce()
  return {
    append: (entries) => sequencer.append(entries),
    get writable() {
      return sequencer.writable
    },
    get usable() {
      return sequencer.usable
    },
    get size() {
      return sequencer.head().size
    },
    checkpointOf: (size) => opened.checkpointOf(size),
    publishCosigned: (cosigned) => opened.publishCosigned(cosigned),
    store,
    signer,
    onCommitted: (listener) => void listeners.push(listener),
    async close() {
      closed = true
      await sequencer.close([{ type: 'log.closed', instance }])
      await opened.close()
      await store.close()
    },
  }

  function announce(): void {
    const gap = options.gap?.()
    sequencer.append([...(gap === undefined ? [] : [gap]), { type: 'log.opened', instance, version, clean }]).catch(() => {
      if (sequencer.usable && !closed) setTimeout(announce, checkpointMs).unref()
    })
  }
}

/** How often a long replay says how far it is. */
const progressMs = 5000

/** What the index does not have yet; the whole log where there is none. A bundle at a time. */
async function replay(store: LogStore, { from, to, onRecord, log }: Pick<OpenLogOptions, 'onRecord' | 'log'> & { from: number; to: number }): Promise<void> {
  let index = from
  let told = performance.now()
  for await (const entry of store.entries(from, to)) {
    if (entry !== undefined) {
      const record = decodeRecord(entry)
      if (record === undefined) throw new LogBrokenError(`Entry ${index} is no record of this version.`)
      onRecord(index, record)
    }
    index += 1
    if (index % 4096 !== 0 || performance.now() - told < progressMs) continue
    told = performance.now()
    log.info({ records: index, of: to }, 'the audit log is read, as its index does not have all of it')
  }
}

/** The log of former versions, a file of lines, lies there. It is neither read nor changed. */
export async function hasFormerLog(folder: string): Promise<boolean> {
  return access(join(folder, 'audit.log')).then(
    () => true,
    () => false,
  )
}
