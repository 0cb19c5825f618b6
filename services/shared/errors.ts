/**
 * The one error type that crosses the wire. Handlers throw it, services/shared/rpc carries it, and only the gateway's
 * HTTP edge renders it. Its texts are written for the client and hold nothing of a prompt, an answer or a key.
 */

/** The google.rpc.Code values that the services use, by name. */
export const codes = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

export type ErrorCode = keyof typeof codes

const namesByNumber = new Map<number, ErrorCode>(
  (Object.entries(codes) as [ErrorCode, number][]).map(([name, number]) => [number, name]),
)

/** Name of a google.rpc.Code; UNKNOWN for one that the services don't use. */
export function codeName(number: number): ErrorCode {
  return namesByNumber.get(number) ?? 'UNKNOWN'
}

export interface ErrorDetail {
  /** Name of the offending parameter, as the API's client wrote it. */
  param?: string
  /** Milliseconds after which another try makes sense. */
  retryAfterMs?: number
  /** What went wrong underneath. Stays inside the process: neither sent nor logged with its text. */
  cause?: unknown
}

export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ErrorCode
  /** Stable and machine-readable, for example `context_length_exceeded`. */
  readonly reason: string
  readonly param: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, reason: string, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.reason = reason
    this.param = detail.param
    this.retryAfterMs = detail.retryAfterMs
  }
}

/** The caller is no longer there to be answered. */
export function callerGone(): ServiceError {
  return new ServiceError('CANCELLED', 'cancelled', 'The caller went away.')
}

/** Why an aborted signal was aborted; CANCELLED when whoever did it gave no reason of ours. */
export function abortReason(signal: AbortSignal): ServiceError {
  return signal.reason instanceof ServiceError ? signal.reason : callerGone()
}

/** What a caller may see of anything that was thrown: a ServiceError as it is, a bland INTERNAL for the rest. */
export function asServiceError(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError) return thrown
  return new ServiceError('INTERNAL', 'internal_error', 'Something failed inside the service.', { cause: thrown })
}
