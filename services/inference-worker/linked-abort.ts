/** An abort controller that also aborts with a signal, until it is disposed. */
export interface LinkedAbort extends Disposable {
  readonly signal: AbortSignal
  abort(reason: unknown): void
}

/** Not AbortSignal.any: with one long-lived source that keeps every request's signal for as long as the source lives. */
export function linkAbort(source: AbortSignal): LinkedAbort {
  const controller = new AbortController()
  const pass = (): void => controller.abort(source.reason)
  if (source.aborted) pass()
  else source.addEventListener('abort', pass, { once: true })
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    [Symbol.dispose]: () => source.removeEventListener('abort', pass),
  }
}
