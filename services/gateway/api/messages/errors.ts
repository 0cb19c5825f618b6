import type { ServiceError } from '../../../shared/errors.ts'
import { type ErrorShape, httpStatus } from '../errors.ts'

const typeByStatus: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

/** Anthropic's error object, https://docs.claude.com/en/api/errors. */
export const messagesErrors: ErrorShape = {
  body: messagesError,
  event: (error, requestId) => `event: error\ndata: ${messagesError(error, requestId)}\n\n`,
}

function messagesError(error: ServiceError, requestId: string): string {
  const status = httpStatus(error)
  const type = typeByStatus[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  return JSON.stringify({ type: 'error', error: { type, message: error.message }, request_id: requestId })
}
