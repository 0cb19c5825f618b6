/** How long things may take, in milliseconds. */
export interface PostgresTiming {
  /** Longest wait for a connection, and for the answer of a statement. The server's own limits are shorter. */
  answerMs: number
  /** From one sign of life of the one that writes to the next. */
  beatMs: number
  /** After so long without one, the server gives the lock to whoever waits. */
  leaseMs: number
  /** From one attempt of a standby to get the lock to the next, and before another connection where one failed. */
  retryMs: number
}

export const postgresTiming: PostgresTiming = { answerMs: 5000, beatMs: 1000, leaseMs: 10_000, retryMs: 250 }
