import { type AttachEvent, AuditService, type BeginRequest, type EndRequest, type RequestUnrecorded } from '../../proto/gen/intramuros/v1/audit.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { Peer } from '../shared/rpc/lane-client.ts'

export interface RecordsOptions {
  audit: Peer
  /** Name of this gateway replica, the same after a restart. */
  instance: string
  /** How long the begin of a request may wait for a ledger that was there and is away, and be tried again. 0: not at all. */
  beginTimeoutMs?: number
  /** How long the end of a request may wait for its record. */
  endTimeoutMs: number
  log: Logger
  /** The ledger is there, for the first time or again. */
  onAttached?: (event: AttachEvent) => void
  /**
   * Requests are answered though they can't be recorded (audit.onFailure); called for each that the ledger has no record of, once it
   * is over. Undefined: they are refused.
   */
  onUnrecorded?: ((request: RequestUnrecorded) => void) | undefined
  /** How long after the start requests are refused all the same until the ledger was there once: it starts at the same time. In milliseconds. */
  startMs?: number
}

/** The gateway's side of the audit ledger: no request without a record, begun and ended. */
export interface Records {
  /** False: requests are refused, since they could not be recorded. */
  readonly available: boolean
  /** Whether the ledger is there. */
  readonly attached: boolean
  /** Throws UNAVAILABLE audit_unavailable when the ledger is away. */
  begin(record: Omit<BeginRequest, 'instance' | 'again'>): OpenRecord
  close(): void
}

export interface OpenRecord {
  /** Resolves once the begin record is durable, with its place; with undefined when the request is answered without one. */
  readonly durable: Promise<number | undefined>
  /** Resolves once the end record is durable; waits for an audit service that is being restarted. Throws UNAVAILABLE audit_unavailable. */
  end(record: Omit<EndRequest, 'requestId'>): Promise<void>
}

const callTimeoutMs = 5000
/** Where answers go out without a record, they don't wait long for one. */
const allowedWaitMs = 1000
const lateRetryMs = 1000
/** Ends that could not be recorded in time, kept for when the ledger is back. Beyond that, it will close them as interrupted. */
const maxLateEnds = 10_000

interface LateEnd {
  record: EndRequest
  /** Called when the ledger has no begin to it. */
  unknown?: (() => void) | undefined
}

export function createRecords({ audit, instance, beginTimeoutMs = 0, endTimeoutMs, log, onAttached, onUnrecorded, startMs = 10_000 }: RecordsOptions): Records {
  const open = new Set<string>()
  const lateEnds = new Map<string, LateEnd>()
  const stopping = new AbortController()
  const never = stopping.signal
  const startedAt = performance.now()
  let attached = false
  let wasAttached = false
  let awaySince = -Infinity
  let delivering = false
  let waiting: (() => void)[] = []

  const fate = onUnrecorded !== undefined ? 'answered WITHOUT A RECORD' : beginTimeoutMs > 0 ? `held for up to ${beginTimeoutMs / 1000} s, and then refused,` : 'refused'

  /** Holds the Attach stream open while the gateway lives: it tells the ledger which of our open records are still worked on. */
  async function stayAttached(): Promise<void> {
    while (!never.aborted) {
      try {
        const events = audit.stream(AuditService.attach, { instance, open: [...open] }, { requestId: '', signal: never })
        for await (const event of events) {
          if (attached) continue
          attached = true
          wasAttached = true
          log.info({}, 'attached to the audit ledger')
          release()
          onAttached?.(event)
          void deliverLateEnds()
        }
      } catch (thrown) {
        if (attached && !never.aborted) log.warn({ err: describeError(thrown) }, `lost the audit ledger: requests are ${fate} until it is back`)
      }
      if (attached) awaySince = performance.now()
      attached = false
      if (!never.aborted) await pause(100)
    }
  }

  function mayGoWithout(): boolean {
    return onUnrecorded !== undefined && (wasAttached || performance.now() - startedAt >= startMs)
  }

  /** Whether it is worth waiting for. */
  function mayBeBackSoon(): boolean {
    return onUnrecorded === undefined && performance.now() - awaySince < beginTimeoutMs
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
    for (const [requestId, { record, unknown }] of lateEnds) {
      try {
        await audit.unary(AuditService.end, record, { requestId, signal: never, timeoutMs: callTimeoutMs })
      } catch (thrown) {
        const failure = asServiceError(thrown)
        if (mayPass(failure)) break
        // NOT_FOUND: its begin was never stored, so there is nothing to end.
        if (failure.code === 'NOT_FOUND') unknown?.()
        else log.error({ requestId, err: describeError(failure) }, 'the ledger does not take the end of a request')
      }
      lateEnds.delete(requestId)
      open.delete(requestId)
    }
    delivering = false
    if (lateEnds.size > 0 && !never.aborted) setTimeout(() => void deliverLateEnds(), lateRetryMs).unref()
  }

  function endLater(record: EndRequest, unknown?: () => void): void {
    if (lateEnds.size >= maxLateEnds) {
      open.delete(record.requestId)
      unknown?.()
      return
    }
    lateEnds.set(record.requestId, { record, unknown })
    void deliverLateEnds()
  }

  async function end(record: EndRequest): Promise<void> {
    const deadline = performance.now() + (onUnrecorded === undefined ? endTimeoutMs : Math.min(endTimeoutMs, allowedWaitMs))
    for (;;) {
      try {
        const timeoutMs = Math.max(1, Math.min(callTimeoutMs, deadline - performance.now()))
        await audit.unary(AuditService.end, record, { requestId: record.requestId, signal: never, timeoutMs })
        open.delete(record.requestId)
        return
      } catch (thrown) {
        const failure = asServiceError(thrown)
        const left = deadline - performance.now()
        if (!mayPass(failure) || left <= 0) {
          endLater(record)
          throw unavailable(failure)
        }
        await attachedOrPause(left)
      }
    }
  }

  /** Resolves with the record's place. */
  async function store(record: Omit<BeginRequest, 'again'>): Promise<number> {
    const deadline = performance.now() + beginTimeoutMs
    let again = false
    for (;;) {
      if (attached) {
        try {
          const timeoutMs = onUnrecorded === undefined ? callTimeoutMs : allowedWaitMs
          const { index } = await audit.unary(AuditService.begin, { ...record, again }, { requestId: record.requestId, signal: never, timeoutMs })
          return Number(index)
        } catch (thrown) {
          const failure = asServiceError(thrown)
          // One that is there and can't write says so, and is not waited for.
          if (onUnrecorded !== undefined || !mayPass(failure) || failure.reason === 'audit_unavailable' || performance.now() >= deadline) throw failure
          again = true
        }
      }
      const left = deadline - performance.now()
      if (left <= 0 || never.aborted) throw unavailable()
      await attachedOrPause(left)
    }
  }

  void stayAttached()
  return {
    get available() {
      return attached || mayGoWithout() || mayBeBackSoon()
    },
    get attached() {
      return attached
    },
    begin(begin) {
      const beganAt = new Date().toISOString()
      const told = (rest: Omit<EndRequest, 'requestId'>) => () => onUnrecorded?.(unrecorded({ ...begin, instance }, rest, beganAt))
      if (!attached && !mayBeBackSoon()) {
        if (!mayGoWithout()) throw unavailable()
        return { durable: Promise.resolve(undefined), end: (rest) => Promise.resolve(told(rest)()) }
      }
      const { requestId } = begin
      open.add(requestId)
      const stored = store({ ...begin, instance })
      const durable = stored.catch((thrown: unknown) => {
        if (onUnrecorded === undefined) throw unavailable(asServiceError(thrown))
        return undefined
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
          // Not known whether it was stored: settle that when the ledger is back.
          if (!begun) endLater(record, told(rest))
          else await end(record).catch((thrown: unknown) => onUnrecorded === undefined && Promise.reject(asServiceError(thrown)))
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

/** Whether another try makes sense. */
function mayPass({ code }: ServiceError): boolean {
  return code === 'UNAVAILABLE' || code === 'DEADLINE_EXCEEDED'
}

function unrecorded({ requestId, instance, team, keyId, model, endpoint }: Omit<BeginRequest, 'again'>, { outcome, inputTokens, outputTokens }: Omit<EndRequest, 'requestId'>, beganAt: string): RequestUnrecorded {
  return { requestId, instance, team, keyId, model, endpoint, beganAt, outcome, inputTokens, outputTokens }
}
