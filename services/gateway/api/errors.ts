import type { ErrorCode, ServiceError } from '../../shared/errors.ts'

/** How an API writes an error, as JSON text: as a whole answer, and as the last event of a stream that has begun. */
export interface ErrorShape {
  body(error: ServiceError, requestId: string): string
  event(error: ServiceError, requestId: string): string
}

/** OpenAI's error object, https://platform.openai.com/docs/guides/error-codes. */
export const openAiErrors: ErrorShape = {
  body: openAiError,
  event: (error) => `data: ${openAiError(error)}\n\n`,
}

const statusByCode: Record<ErrorCode, number> = {
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  // Only services among themselves are refused so; towards a client it is our own fault.
  PERMISSION_DENIED: 500,
  RESOURCE_EXHAUSTED: 429,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  UNAUTHENTICATED: 401,
}

/** HTTP has finer words than gRPC for some of them. */
const statusByReason: Record<string, number> = {
  method_not_allowed: 405,
  request_timeout: 408,
  body_too_large: 413,
  unsupported_content_encoding: 415,
}

export function httpStatus(error: ServiceError): number {
  return statusByReason[error.reason] ?? statusByCode[error.code]
}

function openAiError(error: ServiceError): string {
  return JSON.stringify({ error: { message: error.message, type: errorType(httpStatus(error)), param: error.param ?? null, code: error.reason } })
}

/** Seconds, whole and at least 1, as the Retry-After header wants them; undefined when another try makes no sense. */
export function retryAfterSeconds(error: ServiceError): number | undefined {
  if (error.retryAfterMs !== undefined) return Math.max(1, Math.ceil(error.retryAfterMs / 1000))
  return error.code === 'UNAVAILABLE' || error.code === 'RESOURCE_EXHAUSTED' ? 1 : undefined
}

function errorType(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 429) return 'rate_limit_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}
