import { makeFolder } from '../../make-folder.ts'
import { decodeBundle, encodeBundle } from '../../tlog/bundle.ts'
import { fullWidth } from '../../tlog/tile-path.ts'
import { type Batch, HeadMovedError, type LogStore, StoreError } from '../store.ts'
import { pageBytes } from './database.ts'
import { lockFolder } from './lock.ts'
import { dropTemporaryFiles, syncFolder } from './place-file.ts'
import { startThread, type ThreadCalls } from './thread-calls.ts'

export interface FolderStoreOptions {
  /** Made when it is not there, for its owner alone. */
  folder: string
  /** How long to wait for a predecessor that still has it, in milliseconds. */
  lockWaitMs: number
  /** Longest time that the disk may take for anything, in milliseconds; after it the store counts as hung. */
  timeoutMs: number
  /** Files of the folder could not be written, which will be tried again; what was appended and published is stored all the same. */
  onTrouble: (error: unknown) => void
}

/** Another process writes the log. */
export class FolderLockedError extends Error {
  override readonly name = 'FolderLockedError'
}

/**
 * A log in a folder: what was just appended in log.sqlite, full tiles and bundles as files of tlog-tiles, the newest checkpoint with all
 * that belongs to it, so that any web server can serve the folder. Throws FolderLockedError, DatabaseUnusableError, StoreError.
 */
export async function openFolderStore(options: FolderStoreOptions): Promise<LogStore> {
  const { folder, lockWaitMs } = options
  await makeFolder(folder)
  const lock = await lockFolder(folder, lockWaitMs)
  if (lock === undefined) throw new FolderLockedError(`The audit log in ${folder} is being written by another process. Stop that one first.`)
  try {
    dropTemporaryFiles(folder)
    return await openUnlocked(options, () => lock.release())
  } catch (thrown) {
    lock.release()
    throw thrown
  }
}

/** Without the lock that keeps a second writer out: for tests of what holds even then. */
export async function openUnlocked(options: FolderStoreOptions, release: () => void = () => undefined): Promise<LogStore> {
  const { folder, timeoutMs, onTrouble } = options
  const lost = new AbortController()
  const onLost = (error: StoreError): void => lost.abort(error)
  const writer = await startThread({ role: 'writer', folder, timeoutMs, onLost })
  let archive: ThreadCalls<'archive'>
  try {
    archive = await startThread({ role: 'archive', folder, timeoutMs, onLost })
  } catch (thrown) {
    await writer.close()
    throw thrown
  }
  syncFolder(folder)
  return startStore({ writer, archive, lost: lost.signal, onTrouble, release })
}

/** Entries that are moved to files without waiting for a checkpoint to be published, which moves all. */
const moveEntries = 32 * fullWidth
/** Entries that wait to be moved, from which on who appends waits, too. */
const mostUnmoved = 256 * fullWidth
/**
 * Bytes in SQLite's WAL, about, from which on it is copied to the database beside the commits, which would have to wait for that otherwise.
 * A commit writes some pages besides its entries.
 */
const foldBytes = 8 * 1024 * 1024
const pagesOfCommit = 3 * pageBytes

interface Parts {
  writer: ThreadCalls<'writer'>
  archive: ThreadCalls<'archive'>
  lost: AbortSignal
  onTrouble: (error: unknown) => void
  release: () => void
}

function startStore({ writer, archive, lost, onTrouble, release }: Parts): LogStore {
  /** Entries that are in files, so that the next append may drop their rows. */
  let moved = 0
  /** Enough bundles are full and in no file yet, or may be. */
  let movable = true
  /** Entries since the last were moved, and bytes of the WAL since it was last copied. */
  let unmoved = 0
  let unfolded = 0
  let moving: Promise<{ moved: number; more: boolean }> | undefined
  let unserved: string | undefined
  let tidying: Promise<void> | undefined
  let closed = false

  /** Moves out what is full and serves what was published, one at a time, beside the commits. */
  function tidy(): Promise<void> {
    tidying ??= run().finally(() => (tidying = undefined))
    return tidying
  }

  async function run(): Promise<void> {
    try {
      while ((movable || unserved !== undefined) && !closed) {
        movable = false
        const checkpoint = unserved
        if (checkpoint !== undefined) {
          await archive.call('serve', checkpoint)
          if (unserved === checkpoint) unserved = undefined
        }
        unmoved = 0
        moving = archive.call('moveOut', undefined)
        const done = await moving
        moved = Math.max(moved, done.moved)
        movable ||= done.more
        if (unfolded >= foldBytes) {
          unfolded = 0
          await archive.call('fold', undefined)
        }
      }
    } catch (thrown) {
      // The next append or checkpoint tries again.
      movable = true
      onTrouble(thrown)
    } finally {
      moving = undefined
    }
  }

  async function append({ from, to, entries, tiles }: Batch): Promise<void> {
    // Files take longer to write than rows: who appends without end waits for them, so that the database stays small.
    if (from.size - moved > mostUnmoved) await moving?.catch(() => undefined)
    const bundle = new Uint8Array(encodeBundle(entries))
    const bytes = bundle.length
    const outcome = await writer.call('append', { from, to, count: entries.length, bundle, tiles, moved }, [bundle.buffer])
    if (outcome === 'moved') throw new HeadMovedError('The log has grown by another writer.')
    unmoved += entries.length
    unfolded += bytes + pagesOfCommit
    // The rest is moved with the next checkpoint: many files at once cost far less than each by itself.
    if (unmoved < moveEntries && unfolded < foldBytes && !movable) return
    movable = true
    void tidy()
  }

  async function* entries(from: number, to: number): AsyncGenerator<Uint8Array | undefined, void, undefined> {
    const { size } = await archive.call('bundle', 0)
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from || to > size) throw new RangeError(`the log has no entries ${from} to ${to}`)
    for (let index = Math.floor(from / fullWidth); index * fullWidth < to; index += 1) {
      const { bytes, width } = await archive.call('bundle', index)
      if (bytes === undefined) throw new StoreError(`Entries ${index * fullWidth} to ${(index + 1) * fullWidth - 1} of the log are gone: their file is missing.`, { stored: 'no' })
      yield* decodeBundle(bytes, width).slice(Math.max(0, from - index * fullWidth), to - index * fullWidth)
    }
  }

  async function publish(previous: string | undefined, checkpoint: string): Promise<void> {
    const outcome = await writer.call('publish', { previous, checkpoint })
    if (outcome === 'moved') throw new HeadMovedError('Another writer has published a checkpoint.')
    unserved = checkpoint
    await tidy()
    // One that was under way may have looked before.
    if (unserved !== undefined && !movable) await tidy()
  }

  async function close(): Promise<void> {
    await tidying
    closed = true
    await archive.close()
    await writer.close()
    release()
  }

  void archive.call('serveAnew', undefined).catch(onTrouble)
  void tidy()
  let closing: Promise<void> | undefined
  return {
    head: () => writer.call('head', undefined),
    append,
    entries,
    tile: (level, index, width) => archive.call('tile', { level, index, width }),
    checkpoint: () => archive.call('checkpoint', undefined),
    publish,
    prune: (indexes) => archive.call('prune', [...indexes]),
    lost,
    close: () => (closing ??= close()),
  }
}
