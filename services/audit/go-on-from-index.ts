import { setTimeout as after } from 'node:timers/promises'
import { describeError, type Logger } from '../shared/log.ts'
import { StartAgainError } from '../shared/supervision.ts'
import type { Standing } from './index/index-database.ts'
import type { LogIndex } from './index/log-index.ts'
import type { Requests } from './requests.ts'

/** To open a file and read some thousand rows of it, on a disk that is not hung. */
const limitMs = 30_000

export interface GoOnOptions {
  index: Pick<LogIndex, 'ask'>
  /** Entries of the log. */
  size: number
  requests: Requests
  log: Logger
}

/**
 * Takes over from the index which requests are open and how far the directory's changes are recorded, and returns for how many entries of the
 * log that holds: what is behind them is to be read. 0 when there is no index that could be asked: the whole log is. Throws StartAgainError
 * when the index has more than the log.
 */
export async function goOnFromIndex({ index, size, requests, log }: GoOnOptions): Promise<number> {
  const standing = await ask(index, log)
  if (standing === undefined) return 0
  // It followed a database whose last records, which nobody had signed, were lost in a fail-over. When it is opened again, it is made anew.
  if (standing.size > size) throw new StartAgainError(`The index has ${standing.size} records, and the audit log ${size}: the index is made anew.`)
  requests.goOnFrom(standing)
  return standing.size
}

async function ask(index: GoOnOptions['index'], log: Logger): Promise<Standing | undefined> {
  const over = new AbortController()
  try {
    const late = after(limitMs, undefined, { signal: over.signal }).then(() => {
      throw new Error('the index did not answer')
    })
    return await Promise.race([index.ask('standing'), late])
  } catch (thrown) {
    log.warn({ err: describeError(thrown) }, 'the index of the audit log can not be asked: the whole log is read')
    return undefined
  } finally {
    over.abort()
  }
}
