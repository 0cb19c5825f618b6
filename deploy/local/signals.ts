export interface SignalOptions {
  /** The first signal: end in good order. */
  drain(signal: NodeJS.Signals): void
  /** A second one: end at once. */
  now(signal: NodeJS.Signals): void
  /** Milliseconds within which a signal counts as an echo of the one before. */
  echoMs?: number
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Turns signals into "drain" and "now". One Ctrl-C may arrive twice, from the terminal and passed on by npm: what
 * comes within `echoMs` (300) of the last one is its echo. Closing the terminal (SIGHUP) drains and never counts as
 * the second. Returns how to stop listening.
 */
export function onStopSignals({ drain, now, echoMs = 300 }: SignalOptions): () => void {
  let last: number | undefined
  const heard = (signal: NodeJS.Signals): void => {
    const at = performance.now()
    const first = last === undefined
    const echo = last !== undefined && at - last < echoMs
    last = at
    if (first) drain(signal)
    else if (!echo && signal !== 'SIGHUP') now(signal)
  }
  for (const signal of signals) process.on(signal, heard)
  return () => {
    for (const signal of signals) process.off(signal, heard)
  }
}
