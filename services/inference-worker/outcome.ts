import { abortReason, ServiceError } from '../shared/errors.ts'
import type { Outcome } from './metrics.ts'

/** How a request that threw has ended. */
export interface Failure {
  outcome: Extract<Outcome, 'cancelled' | 'refused' | 'failed'>
  /** What the caller is told. */
  error: ServiceError
  /** True when it came out of the engine, which throws no ServiceError of its own. */
  byEngine: boolean
}

export function failureOf(thrown: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return { outcome: 'cancelled', error: abortReason(signal), byEngine: false }
  if (thrown instanceof ServiceError)
    return { outcome: thrown.code === 'INTERNAL' ? 'failed' : 'refused', error: thrown, byEngine: false }
  const message = 'The model failed in the middle of the answer. Try again.'
  return { outcome: 'failed', error: new ServiceError('UNAVAILABLE', 'engine_failed', message, { cause: thrown }), byEngine: true }
}
