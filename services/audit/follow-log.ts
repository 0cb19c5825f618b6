import { setTimeout as after } from 'node:timers/promises'
import { describeError, type Logger } from '../shared/log.ts'
import type { LogIndex } from './index/log-index.ts'
import { checkSigned, type Signer, SignerError } from './signer.ts'
import type { LogStore } from './store/store.ts'

export interface FollowLogOptions {
  /** For reading, beside the process that writes. */
  store: Pick<LogStore, 'head' | 'tile' | 'checkpoint'>
  /** Opens the key and the memory of a log that is not new. Throws SignerError. */
  openSigner: () => Promise<Signer>
  /** Of that log. */
  index: Pick<LogIndex, 'reached'>
  log: Logger
  /** The log is not the one that was signed, or there is no key for it: this process must never write it. Called once, and nothing more is done. */
  onRefused: (error: SignerError) => void
  /** From one look at the log to the next. */
  intervalMs?: number
}

/**
 * Follows a log that another process writes: keeps the index close behind it, and remembers how far it was signed, so that an old copy of
 * the database that is put in its place is noticed whoever writes next. Returns what ends it, once no look is under way.
 */
export function followLog({ store, openSigner, index, log, onRefused, intervalMs = 1000 }: FollowLogOptions): () => Promise<void> {
  const closing = new AbortController()
  let troubled = false
  let signer: Signer | undefined

  async function look(): Promise<void> {
    signer ??= await openSigner()
    const note = await store.checkpoint()
    if (note !== undefined) await signer.learn(note, store)
    await checkSigned(signer, store)
    // Only tells the index that there is more.
    index.reached((await store.head()).size, closing.signal).catch(() => undefined)
  }

  async function follow(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await look()
        troubled = false
      } catch (thrown) {
        if (thrown instanceof SignerError) {
          onRefused(thrown)
          return
        }
        if (!troubled && !closing.signal.aborted) log.warn({ err: describeError(thrown) }, 'the audit log can not be followed now')
        troubled = true
      }
      await after(intervalMs, undefined, { signal: closing.signal }).catch(() => undefined)
    }
  }

  const following = follow()
  return async () => {
    closing.abort()
    await following
  }
}
