import type { GenerateRequest } from '../../../proto/gen/intramuros/v1/inference.ts'
import { InferenceService } from '../../../proto/gen/intramuros/v1/inference.ts'
import { asServiceError, callerGone } from '../../../services/shared/errors.ts'
import type { LaneClient } from '../../../services/shared/rpc/lane-client.ts'

export interface CancelOptions {
  /** How many requests, and how many of them at a time: more than there are slots, so that some wait. */
  count: number
  concurrent: number
  request(): GenerateRequest
  /** Longest time until a cancel, in milliseconds: about what a request takes. */
  withinMs: number
}

export interface Cancelled {
  /** Requests whose finish has come before the cancel. */
  finished: number
  /** Requests that ended with the cancel. */
  cancelled: number
  /** Anything else that one ended with, by reason. */
  other: Map<string, number>
}

/** Sends requests and cancels each at a moment of its own: at once, while it waits, at a token, at its end. */
export async function cancelMany(lane: LaneClient, { count, concurrent, request, withinMs }: CancelOptions): Promise<Cancelled> {
  const result: Cancelled = { finished: 0, cancelled: 0, other: new Map() }
  let left = count

  async function one(kind: number): Promise<void> {
    const abort = new AbortController()
    const cancel = (): void => abort.abort(callerGone())
    const afterEvents = kind === 1 ? Math.ceil(Math.random() * 8) : Number.POSITIVE_INFINITY
    const timer = kind === 2 || kind === 3 ? setTimeout(cancel, Math.random() * withinMs) : undefined
    let events = 0
    try {
      const stream = lane.stream(InferenceService.generate, request(), { requestId: `c-${kind}`, signal: abort.signal })
      const first = stream.next()
      if (kind === 0) cancel() // in the frame that opens it
      for (let next = await first; next.done !== true; next = await stream.next()) {
        events += 1
        // At the finish it has let go of its slot already, and somebody has it.
        if (events >= afterEvents || next.value.event?.$case === 'finish') cancel()
      }
      result.finished += 1
    } catch (thrown) {
      const { reason } = asServiceError(thrown)
      if (reason === 'cancelled') result.cancelled += 1
      else result.other.set(reason, (result.other.get(reason) ?? 0) + 1)
    } finally {
      clearTimeout(timer)
    }
  }

  await Promise.all(
    Array.from({ length: concurrent }, async () => {
      while (left > 0) {
        left -= 1
        await one(left % 4)
      }
    }),
  )
  return result
}
