import { ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import { type Signer, SignerError } from './signer.ts'
import { parseNote } from './tlog/note.ts'
import { HeadMovedError, type LogStore, StoreError, type TreeHead } from './store/store.ts'

export interface PublisherOptions {
  store: Pick<LogStore, 'checkpoint' | 'publish'>
  signer: Signer
  /** What is committed. */
  head: () => TreeHead
  log: Logger
  /** From one checkpoint of the growing log to the next, in milliseconds. */
  intervalMs: number
  /** Another publishes too, or the tree is not the one that was signed: nobody may go on. */
  onForked: (cause: unknown) => void
}

/** Signs what is committed, beside the commits, and publishes it. */
export interface Publisher {
  /** The log has grown. */
  grown(): void
  /** The note of a checkpoint of at least so many records, which are committed. Throws UNAVAILABLE audit_unavailable. */
  checkpointOf(size: number): Promise<string>
  /** Puts a note with more signatures in the place of the published one, if that is still the same checkpoint. Throws StoreError. */
  publishCosigned(cosigned: string): Promise<void>
  /** Publishes what is not yet, once. */
  close(): Promise<void>
}

/** Throws SignerError when the store has a checkpoint that the signer's key did not make. */
export async function openPublisher({ store, signer, head, log, intervalMs, onForked }: PublisherOptions): Promise<Publisher> {
  let note = await store.checkpoint()
  let size = note === undefined ? 0 : signer.sizeOf(note)
  let publishing: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let troubled = false
  /** Notes that the store may have taken, or take yet: it did not say in time. */
  const unsure = new Set<string>()

  /** One at a time. What is committed while it runs is the next one's. */
  function publish(): Promise<void> {
    publishing ??= publishHead().finally(() => (publishing = undefined))
    return publishing
  }

  async function publishHead(): Promise<void> {
    const committed = head()
    if (note !== undefined && committed.size === size) return
    try {
      const next = await signer.sign(committed)
      await replace(next)
      note = next
      size = committed.size
      if (troubled) log.info({ size }, 'checkpoints of the audit log are published again')
      troubled = false
    } catch (thrown) {
      if (thrown instanceof HeadMovedError || thrown instanceof SignerError) onForked(thrown)
      throw thrown
    }
  }

  async function publishCosigned(cosigned: string): Promise<void> {
    // Not between a checkpoint and the next one: they replace the note that they know.
    while (publishing !== undefined) await publishing.catch(() => undefined)
    if (closed || note === undefined || parseNote(note).text !== parseNote(cosigned).text) return
    publishing = replace(cosigned)
      .then(() => void (note = cosigned))
      .finally(() => (publishing = undefined))
    try {
      await publishing
    } catch (thrown) {
      if (thrown instanceof HeadMovedError) onForked(thrown)
      throw thrown
    }
  }

  async function replace(next: string): Promise<void> {
    try {
      await store.publish(note, next)
    } catch (thrown) {
      if (thrown instanceof HeadMovedError) await takeUnsure(thrown)
      if (!(thrown instanceof StoreError) || thrown.stored === 'no') throw thrown
      unsure.add(next)
      const found = await store.checkpoint()
      if (found !== next) {
        if (found !== note) await takeUnsure(new HeadMovedError('Another writer has published a checkpoint.'))
        throw thrown
      }
    }
    unsure.clear()
  }

  /** What is published is not what was known: it is one of ours that was given up, and then to be replaced by the next; or throws `moved`. */
  async function takeUnsure(moved: HeadMovedError): Promise<never> {
    const found = await store.checkpoint()
    if (found === undefined || !unsure.has(found)) throw moved
    note = found
    size = signer.sizeOf(found)
    throw new StoreError('A checkpoint that was given up was published after all.', { stored: 'no' })
  }

  function tick(): void {
    timer = undefined
    publish()
      .catch((thrown: unknown) => {
        if (!troubled) log.warn({ err: describeError(thrown) }, 'a checkpoint of the audit log could not be published; it is tried again')
        troubled = true
      })
      .finally(() => {
        if (head().size > size) grown()
      })
  }

  function grown(): void {
    if (!closed) timer ??= setTimeout(tick, intervalMs)
  }

  async function checkpointOf(wanted: number): Promise<string> {
    try {
      // The second time for one that had begun before the record was committed.
      for (let tries = 0; tries < 2 && (note === undefined || size < wanted); tries += 1) await publish()
      if (note !== undefined && size >= wanted) return note
    } catch (cause) {
      throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'No checkpoint of the audit log can be signed now.', { retryAfterMs: 2000, cause })
    }
    throw new ServiceError('UNAVAILABLE', 'audit_unavailable', 'The audit log has not so many records.', { retryAfterMs: 2000 })
  }

  grown()
  return {
    grown,
    checkpointOf,
    publishCosigned,
    async close() {
      closed = true
      clearTimeout(timer)
      await publishing?.catch(() => undefined)
      await publish().catch((thrown: unknown) => log.warn({ err: describeError(thrown) }, 'the last checkpoint of the audit log could not be published'))
    },
  }
}
