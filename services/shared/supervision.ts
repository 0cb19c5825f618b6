import { readFileSync } from 'node:fs'

/** What a service process and the launcher that runs it agree on. */

export type ServiceName = 'audit' | 'tokenizer' | 'inference-worker' | 'gateway'

/** An error at start that no restart will mend: the process ends with this exit status and the launcher gives up on it. */
export class FatalStartError extends Error {
  override readonly name = 'FatalStartError'
}

/** Exit statuses, after sysexits.h where it has one. The launcher restarts a service that ends with any other. */
export const exitStatus = { ok: 0, fatal: 78, portInUse: 69, crashed: 70 } as const

/** From the launcher to a service, and back, over the child process's IPC channel. */
export type ToService = { type: 'drain'; limitMs: number }
/** A service says that it is alive each aliveIntervalMs; one that has said so once and falls silent hangs. */
export type FromService = { type: 'listening'; ports: Record<string, number> } | { type: 'ready' } | { type: 'alive' } | { type: 'fatal'; message: string }

export const aliveIntervalMs = 2000

/** Version of this package. */
export function packageVersion(): string {
  const text: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof text === 'object' && text !== null && 'version' in text && typeof text.version === 'string' ? text.version : '0'
}
