export type UpstreamReason =
  | 'unreachable'
  | 'timeout'
  | 'broken_off'
  | 'too_large'
  | 'malformed'
  | 'refused'
  | 'busy'
  | 'unauthorised'
  | 'not_found'
  | 'failed'

/** What went wrong with the server in front of which the worker stands. Holds nothing of what the server said: that may quote a prompt. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly reason: UpstreamReason
  /** The HTTP status, when there was one. */
  readonly code: number | undefined

  constructor(reason: UpstreamReason, message: string, code?: number) {
    super(message)
    this.reason = reason
    this.code = code
  }
}

/** By status alone. */
export function statusError(status: number): UpstreamError {
  const reason: UpstreamReason =
    status === 401 || status === 403
      ? 'unauthorised'
      : status === 404 || status === 405 || status === 501
        ? 'not_found'
        : status === 429 || status === 503
          ? 'busy'
          : status >= 400 && status < 500
            ? 'refused'
            : 'failed'
  return new UpstreamError(reason, `The model's server answered with status ${status}.`, status)
}
