import { readFileSync } from 'node:fs'

/** What a service process and the launcher that runs it agree on. */

export type ServiceName = 'audit' | 'tokenizer' | 'inference-worker' | 'gateway'

/** Exit statuses of a service, after sysexits.h where it has one. docs/operations.md tells what to do about each. */
export const exitStatus = {
  ok: 0,
  /** EX_DATAERR: the model's file or the ledger is damaged, or of a kind that can't be used. */
  badData: 65,
  /** EX_NOINPUT: the model's file is not there or can't be read. */
  missingFile: 66,
  /** EX_UNAVAILABLE: another program has a port that it listens on. */
  portInUse: 69,
  /** EX_SOFTWARE: an error that nobody expected. */
  crashed: 70,
  /** EX_OSERR: the machine has not the memory for what was asked. */
  outOfMemory: 71,
  /** EX_TEMPFAIL: what it works on was lost, and another start will find it again, or wait for it. */
  again: 75,
  /** EX_NOPERM: the service can reach the outside, and was told not to work then. */
  outsideReached: 77,
  /** EX_CONFIG: a setting is wrong, or can't be met on this machine. */
  configuration: 78,
  /** Told twice to end: 128 and SIGINT's number, as shells have it. */
  interrupted: 130,
} as const

/** Those that stand for an error which somebody has to mend before another start makes sense. */
export type FatalStatus = (typeof exitStatus)['badData' | 'missingFile' | 'outOfMemory' | 'outsideReached' | 'configuration']

/** An error at start that no restart will mend: the process tells it in its words and ends with its status. */
export class FatalStartError extends Error {
  override readonly name = 'FatalStartError'
  readonly status: FatalStatus

  constructor(message: string, status: FatalStatus = exitStatus.configuration) {
    super(message)
    this.status = status
  }
}

/** An error that ends the process and that the next start mends, or waits until it is gone: told in its words, status `again`. */
export class StartAgainError extends Error {
  override readonly name = 'StartAgainError'
}

/**
 * Whether the launcher gives up on a service that ended so, rather than start it again. Memory that was there once may come
 * back; what was never there won't.
 */
export function isFinal(status: number | null, wasReady: boolean): boolean {
  if (status === exitStatus.outOfMemory) return !wasReady
  return status === exitStatus.badData || status === exitStatus.missingFile || status === exitStatus.outsideReached || status === exitStatus.configuration
}

/** From the launcher to a service, and back, over the child process's IPC channel. */
export type ToService = { type: 'drain'; limitMs: number }
/**
 * A service says that it is alive each aliveIntervalMs; one that has said so once and falls silent hangs. `atRisk` tells what it is
 * doing that may end it without a word; empty: nothing any more.
 */
export type FromService =
  | { type: 'listening'; ports: Record<string, number> }
  | { type: 'ready' | 'alive' }
  | { type: 'atRisk'; what: string }
  | { type: 'fatal'; message: string }

export const aliveIntervalMs = 2000

/** Version of this package. */
export function packageVersion(): string {
  const text: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof text === 'object' && text !== null && 'version' in text && typeof text.version === 'string' ? text.version : '0'
}
