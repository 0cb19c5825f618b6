import { randomUUID } from 'node:crypto'
import { AuditService, type RequestUnrecorded } from '../../proto/gen/intramuros/v1/audit.ts'
import { asServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import type { AuditEvent } from './events.ts'

export interface UnrecordedOptions {
  audit: Pick<LaneClient, 'unary'>
  /** Keeps what is told of each request, as many as it can. */
  events: { add(event: AuditEvent): void }
  /** Whether the ledger is there. */
  attached: () => boolean
  log: Logger
  retryMs?: number
}

/** Requests that were answered without a record: each is told, as far as they can be kept, and how many they were in any case. */
export interface Unrecorded {
  note(request: RequestUnrecorded): void
  /** Tells of what is not told yet, once. */
  flush(): Promise<void>
  close(): void
}

const callTimeoutMs = 2000

export function createUnrecorded({ audit, events, attached, log, retryMs = 1000 }: UnrecordedOptions): Unrecorded {
  const closing = new AbortController()
  let since: { from: string; unrecorded: number } | undefined
  /** Under way, or of which nobody knows: told with the same id until it was heard, so that it counts once. */
  let telling: { id: string; from: string; unrecorded: number } | undefined
  let delivery: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let troubled = false

  async function deliver(): Promise<void> {
    while (attached() && !closing.signal.aborted) {
      if (telling === undefined) {
        if (since === undefined) return
        telling = { id: randomUUID(), ...since }
        since = undefined
      }
      const { id, from, unrecorded } = telling
      try {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await audit.unary(AuditService.record, { id, event: { $case: 'gap', value: { from, unrecorded } } }, { requestId: id, signal: closing.signal, timeoutMs: callTimeoutMs })
        telling = undefined
        troubled = false
      } catch (thrown) {
        if (!troubled && !closing.signal.aborted) log.warn({ unrecorded, err: describeError(asServiceError(thrown)) }, 'how many requests were answered without a record can not be recorded yet')
        troubled = true
        return
      }
    }
  }

  function later(): void {
    if (closing.signal.aborted) return
    timer ??= setTimeout(() => {
      timer = undefined
      void flush()
    }, retryMs).unref()
  }

  function flush(): Promise<void> {
    delivery ??= deliver().finally(() => {
      delivery = undefined
      if (telling !== undefined || since !== undefined) later()
    })
    return delivery
  }

  return {
    note(value) {
      events.add({ $case: 'requestUnrecorded', value })
      since ??= { from: value.beganAt, unrecorded: 0 }
      since.unrecorded += 1
      if (value.beganAt < since.from) since.from = value.beganAt
      later()
    },
    flush,
    close() {
      closing.abort()
      clearTimeout(timer)
    },
  }
}
