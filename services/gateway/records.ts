import { AuditService, type BeginRequest, type EndRequest } from '../../proto/gen/intramuros/v1/audit.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'

export interface RecordsOptions {
  audit: LaneClient
  /** Name of this gateway replica, the same after a restart. */
  instance: string
  /** How long the end of a request may wait for its record. */
  endTimeoutMs: number
  log: Logger
}

/** The gateway's side of the audit ledger: no request without a record, begun and ended. */
export interface Records {
  /** False: requests must be refused, since they could not be recorded. */
  readonly available: boolean
  /** Throws UNAVAILABLE audit_unavailable when the ledger is away. */
  begin(record: Omit<BeginRequest, 'instance'>): OpenRecord
  close(): void
}

export interface OpenRecord {
  /** Resolves once the begin record is durable. */
  readonly durable: Promise<void>
  /** Resolves once the end record is durable; waits for an audit service that is being restarted. Throws UNAVAILABLE audit_unavailable. */
  end(record: Omit<EndRequest, 'requestId'>): Promise<void>
}

const callTimeoutMs = 5000
const lateRetryMs = 1000
/** Ends that could not be recorded in time, kept for when the ledger is back. Beyond that, it will close them as interrupted. */
const maxLateEnds = 10_000

export function createRecords({ audit, instance, endTimeoutMs, log }: RecordsOptions): Records {
  const open = new Set<string>()
  const lateEnds = new Map<string, EndRequest>()
  const stopping = new AbortController()
  const never = stopping.signal
  let attached = false
  let delivering = false
  let waiting: (() => void)[] = []

  /** Holds the Attach stream open while the gateway lives: it tells the ledger which of our open records are still worked on. */
  async function stayAttached(): Promise<void> {
    while (!never.aborted) {
      try {
        const events = audit.stream(AuditService.attach, { instance, open: [...open] }, { requestId: '', signal: never })
        for await (const _ of events) {
          if (attached) continue
          attached = true
          log.info({}, 'attached to the audit ledger')
          release()
          void deliverLateEnds()
        }
      } catch (thrown) {
        if (attached && !never.aborted) log.warn({ err: describeError(thrown) }, 'lost the audit ledger: requests are refused until it is back')
      }
      attached = false
      if (!never.aborted) await pause(100)
    }
  }

  function release(): void {
    const released = waiting
    waiting = []
    for (const resume of released) resume()
  }

  /** Resolves when the ledger is there, or after a while. */
  function attachedOrPause(ms: number): Promise<void> {
    if (attached) return pause(20)
    return new Promise((resolve) => {
      const timeout = setTimeout(resolve, ms)
      waiting.push(() => {
        clearTimeout(timeout)
        resolve()
      })
    })
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms))
  }

  /** Tries again until all are delivered: a ledger may stay attached while it can't write, for example on a full disk. */
  async function deliverLateEnds(): Promise<void> {
    if (delivering || !attached) return
    delivering = true
    for (const [requestId, record] of lateEnds) {
      try {
        await audit.unary(AuditService.end, record, { requestId, signal: never, timeoutMs: callTimeoutMs })
      } catch (thrown) {
        // NOT_FOUND: its begin was never stored, so there is nothing to end.
        if (asServiceError(thrown).code !== 'NOT_FOUND') break
      }
      lateEnds.delete(requestId)
      open.delete(requestId)
    }
    delivering = false
    if (lateEnds.size > 0 && !never.aborted) setTimeout(() => void deliverLateEnds(), lateRetryMs).unref()
  }

  function endLater(record: EndRequest): void {
    if (lateEnds.size >= maxLateEnds) {
      open.delete(record.requestId)
      return
    }
    lateEnds.set(record.requestId, record)
    void deliverLateEnds()
  }

  async function end(record: EndRequest): Promise<void> {
    const deadline = performance.now() + endTimeoutMs
    for (;;) {
      try {
        await audit.unary(AuditService.end, record, { requestId: record.requestId, signal: never, timeoutMs: callTimeoutMs })
        open.delete(record.requestId)
        return
      } catch (thrown) {
        const failure = asServiceError(thrown)
        const left = deadline - performance.now()
        const mayPass = failure.code === 'UNAVAILABLE' || failure.code === 'DEADLINE_EXCEEDED'
        if (!mayPass || left <= 0) {
          endLater(record)
          throw unavailable(failure)
        }
        await attachedOrPause(left)
      }
    }
  }

  void stayAttached()
  return {
    get available() {
      return attached
    },
    begin(begin) {
      if (!attached) throw unavailable()
      const { requestId } = begin
      open.add(requestId)
      const stored = audit
        .unary(AuditService.begin, { ...begin, instance }, { requestId, signal: never, timeoutMs: callTimeoutMs })
        .then(() => undefined)
      const durable = stored.catch((thrown: unknown) => {
        throw unavailable(asServiceError(thrown))
      })
      durable.catch(() => undefined) // whoever awaits it handles it; nobody may get that far
      return {
        durable,
        async end(rest) {
          const record = { ...rest, requestId }
          const begun = await stored.then(
            () => true,
            () => false,
          )
          if (begun) return end(record)
          // Not known whether it was stored: settle that when the ledger is back.
          endLater(record)
        },
      }
    },
    close() {
      stopping.abort(new ServiceError('CANCELLED', 'closing', 'The gateway is closing.'))
      release()
    },
  }
}

function unavailable(cause?: ServiceError): ServiceError {
  return new ServiceError('UNAVAILABLE', 'audit_unavailable', 'The request could not be recorded in the audit ledger, so it was not answered. Try again.', {
    retryAfterMs: 2000,
    ...(cause === undefined ? {} : { cause }),
  })
}
