import { AuditService, type RecordRequest } from '../../proto/gen/intramuros/v1/audit.ts'
import { randomUUID } from 'node:crypto'
import { asServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { Peer } from '../shared/rpc/lane-client.ts'

export type AuditEvent = NonNullable<RecordRequest['event']>

export interface EventsOptions {
  audit: Pick<Peer, 'unary'>
  log: Logger
  /** Events that could not be kept until the ledger took them. */
  onDropped: (event: AuditEvent) => void
  /** Events that are kept. */
  maxWaiting?: number
  retryMs?: number
}

/** What is to be recorded beside requests. Nobody waits for it: it is kept until the ledger has it, in its order. */
export interface Events {
  add(event: AuditEvent): void
  /** Resolves when all are recorded, or after so long. */
  flush(limitMs: number): Promise<void>
  close(): void
}

const callTimeoutMs = 5000
const mostWaiting = 10_000

/** Of tries that fail one after the other, some seconds long, the log is told. */
const fewestTold = 5

export function createEvents({ audit, log, onDropped, maxWaiting = mostWaiting, retryMs = 1000 }: EventsOptions): Events {
  const waiting = new Map<string, AuditEvent>()
  const closing = new AbortController()
  let delivering: Promise<void> | undefined
  /** Tries that failed one after the other. */
  let failures = 0

  async function deliver(): Promise<void> {
    for (const [id, event] of waiting) {
      // oxlint-disable-next-line no-await-in-loop -- in their order
      if (!(await recorded(id, event))) break
      waiting.delete(id)
    }
  }

  /** False when it is to be tried again. With the same id, so that one that was recorded after all is not recorded twice. */
  async function recorded(id: string, event: AuditEvent): Promise<boolean> {
    try {
      await audit.unary(AuditService.record, { id, event }, { requestId: id, signal: closing.signal, timeoutMs: callTimeoutMs })
      failures = 0
      return true
    } catch (thrown) {
      const failure = asServiceError(thrown)
      if (closing.signal.aborted) return false
      if (failure.code === 'INVALID_ARGUMENT') {
        // It would stand in the way of all others for ever.
        log.error({ event: event.$case, param: failure.param }, 'the ledger does not take an event')
        onDropped(event)
        return true
      }
      failures += 1
      // At start the ledger may come a moment later.
      if (failures === fewestTold) log.warn({ waiting: waiting.size, err: describeError(failure) }, 'events can not be recorded yet')
      return false
    }
  }

  function start(): void {
    if (closing.signal.aborted || delivering !== undefined) return
    delivering = deliver().finally(() => {
      delivering = undefined
      if (waiting.size > 0) setTimeout(start, retryMs).unref()
    })
  }

  return {
    add(event) {
      if (waiting.size >= maxWaiting) {
        onDropped(event)
        return
      }
      waiting.set(randomUUID(), event)
      start()
    },
    async flush(limitMs) {
      const deadline = performance.now() + limitMs
      while (waiting.size > 0 && performance.now() < deadline) {
        start()
        // oxlint-disable-next-line no-await-in-loop -- until all are gone
        await Promise.race([delivering, after(deadline - performance.now())])
        // oxlint-disable-next-line no-await-in-loop -- between two tries
        if (waiting.size > 0) await after(Math.min(100, Math.max(0, deadline - performance.now())))
      }
    },
    close: () => closing.abort(),
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
