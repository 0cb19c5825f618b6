import { DirectoryService, type DirectoryPart } from '../../../proto/gen/intramuros/v1/directory.ts'
import { ServiceError } from '../../shared/errors.ts'
import type { Directory } from '../../shared/directory/directory.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import { type BesideService, besideService } from '../../shared/rpc/serve.ts'

export interface ServeDirectoryOptions {
  directory: Pick<Directory, 'terms' | 'version'>
  log: Logger
  /** How often is looked whether a command has changed it, in milliseconds. */
  intervalMs?: number
}

export interface ServedDirectory {
  /** What serveRpc is to serve beside the ledger. */
  beside: BesideService
  /** Ends the streams, with UNAVAILABLE draining. */
  drain(): void
}

/** Some 100 kB, far below the limit of a message. */
const keysPerPart = 1000

/** Tells gateways the directory, and each change of it. */
export function serveDirectory({ directory, log, intervalMs = 100 }: ServeDirectoryOptions): ServedDirectory {
  const draining = new AbortController()
  const handlers = {
    async *watch(_: unknown, { signal }: { signal: AbortSignal }) {
      const over = AbortSignal.any([signal, draining.signal])
      for (;;) {
        const { version, parts } = read()
        for (const part of parts) yield part
        while (!over.aborted && current() === version) await pause(intervalMs, over)
        over.throwIfAborted()
      }
    },
  }

  function read(): { version: number; parts: DirectoryPart[] } {
    // Before what it stands for: a change in between is then seen again.
    const version = current()
    return { version, parts: partsOf(asking(() => directory.terms())) }
  }

  function current(): number {
    return asking(() => directory.version())
  }

  function asking<T>(body: () => T): T {
    try {
      return body()
    } catch (thrown) {
      log.error({ err: describeError(thrown) }, 'the directory could not be read')
      throw new ServiceError('UNAVAILABLE', 'directory_unavailable', 'The directory of teams and keys cannot be read.', { cause: thrown })
    }
  }

  return {
    beside: besideService({ service: DirectoryService, handlers, callers: ['gateway'] }),
    drain: () => draining.abort(new ServiceError('UNAVAILABLE', 'draining', 'The audit service is stopping.', { retryAfterMs: 1000 })),
  }
}

function partsOf({ hmacKey, teams, keys }: ReturnType<Directory['terms']>): DirectoryPart[] {
  const told = teams.map((team) => ({ ...team, models: [...team.models] }))
  const parts: DirectoryPart[] = [{ hmacKey: Buffer.from(hmacKey), teams: told, keys: [], last: false }]
  for (let from = 0; from < keys.length; from += keysPerPart) {
    parts.push({ hmacKey: Buffer.alloc(0), teams: [], keys: keys.slice(from, from + keysPerPart).map((key) => ({ ...key, hmac: Buffer.from(key.hmac) })), last: false })
  }
  const last = parts.at(-1)
  if (last !== undefined) last.last = true
  return parts
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
