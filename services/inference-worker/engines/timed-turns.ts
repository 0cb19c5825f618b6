import { oneAtATime } from './one-at-a-time.ts'

/** Work on the tokens of one text at a time, on a model that has one sequence for it. */
export interface TimedTurns<Result> {
  /** Throws the signal's reason when it has aborted before its turn came. */
  run(tokens: readonly number[], signal: AbortSignal): Promise<Result>
  /** Milliseconds since the work under way began; 0 when there is none. */
  stepMs(): number
}

export function createTimedTurns<Result>(work: (tokens: readonly number[]) => Promise<Result>): TimedTurns<Result> {
  let startedAt: number | undefined
  return {
    run: oneAtATime(async (tokens: readonly number[], signal: AbortSignal) => {
      signal.throwIfAborted()
      startedAt = performance.now()
      try {
        return await work(tokens)
      } finally {
        startedAt = undefined
      }
    }),
    stepMs: () => (startedAt === undefined ? 0 : performance.now() - startedAt),
  }
}
