import { setTimeout as after } from 'node:timers/promises'
import { describeError, type Logger } from '../shared/log.ts'
import type { LogIndex } from './index/log-index.ts'
import type { Requests } from './requests.ts'

/** To open a file and read some thousand rows of it, on a disk that is not hung. */
const limitMs = 30_000

/**
 * Takes over from the index which requests are open and how far the directory's changes are recorded, and returns for how many entries of the
 * log that holds: what is behind them is to be read. 0 when there is no index that could be asked: the whole log is.
 */
export async function goOnFromIndex(index: Pick<LogIndex, 'ask'>, requests: Requests, log: Logger): Promise<number> {
  const over = new AbortController()
  try {
    const late = after(limitMs, undefined, { signal: over.signal }).then(() => {
      throw new Error('the index did not answer')
    })
    const standing = await Promise.race([index.ask('standing'), late])
    requests.goOnFrom(standing)
    return standing.size
  } catch (thrown) {
    log.warn({ err: describeError(thrown) }, 'the index of the audit log can not be asked: the whole log is read')
    return 0
  } finally {
    over.abort()
  }
}
