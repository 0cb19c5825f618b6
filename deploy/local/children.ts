import type { ChildProcess } from 'node:child_process'
import type { Logger } from '../../services/shared/log.ts'
import { StartError } from './start-error.ts'
import { type ChildSpec, type ChildState, type Supervised, type SuperviseTiming, supervise } from './supervise.ts'

export interface ChildrenOptions {
  log: Logger
  /** Takes a new process's output. */
  attach(name: string, child: ChildProcess, isStarting: () => boolean): void
  /** Called as soon as a process runs and when one has ended, to keep the record of who runs. */
  onChange(children: NamedChild[]): void
  timing?: SuperviseTiming
}

export type NamedChild = ChildState & { name: string }

export interface Children {
  /** Resolves when each was ready once. Rejects with a StartError when one fails for good or keeps dying, or the time is up. */
  ready(limitMs: number, signal: AbortSignal): Promise<void>
  /** Ends them in the given order of groups, each with its limit; true when all ended by themselves. */
  drain(groups: DrainGroup[]): Promise<boolean>
  /** Ends all at once. */
  kill(): Promise<void>
}

export interface DrainGroup {
  match(name: string): boolean
  limitMs: number
}

/** A service that dies so often without having been ready once has something that restarts don't mend. */
const maxDeathsAtStart = 5

/** Starts all of them at once, in the order given: each finds its peers when they are there. */
export function startChildren(specs: ChildSpec[], { log, attach, onChange, timing }: ChildrenOptions): Children {
  const waiting = new Set(specs.map((spec) => spec.name))
  const all = Promise.withResolvers<void>()
  // Whoever waits for ready() sees it; later failures are told in the log.
  all.promise.catch(() => undefined)
  const children: Supervised[] = []

  for (const spec of specs) {
    const child = supervise(spec, {
      log,
      ...(timing === undefined ? {} : { timing }),
      onEvent(event) {
        switch (event.type) {
          case 'spawned':
            attach(spec.name, event.child, event.isStarting)
            // The first one comes before supervise() has returned.
            queueMicrotask(changed)
            return
          case 'ready':
            waiting.delete(spec.name)
            if (waiting.size === 0) all.resolve()
            return
          case 'died':
            changed()
            if (waiting.has(spec.name) && event.deaths >= maxDeathsAtStart) {
              const { deaths, how } = event
              all.reject(new StartError(`${spec.name} died ${deaths} times while starting, last with ${how}. See its log above.`))
            }
            return
          case 'failed':
            changed()
            if (waiting.size > 0) all.reject(new StartError(`${spec.name} could not start. ${event.message}`, { status: event.status }))
            else log.error({ child: spec.name, reason: event.message }, 'a service is given up; the others keep running')
        }
      },
    })
    children.push(child)
  }

  function changed(): void {
    onChange(children.map((child) => ({ name: child.name, ...child.state() })))
  }

  return {
    async ready(limitMs, signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)])
      const aborted = Promise.withResolvers<never>()
      const onAbort = (): void => {
        const late = `${[...waiting].join(', ')} did not become ready within ${Math.round(limitMs / 1000)} s: see the log above.`
        aborted.reject(signal.aborted ? signal.reason : new StartError(late))
      }
      limit.addEventListener('abort', onAbort)
      if (limit.aborted) onAbort()
      try {
        await Promise.race([all.promise, aborted.promise])
      } finally {
        limit.removeEventListener('abort', onAbort)
      }
    },
    async drain(groups) {
      let clean = true
      for (const { match, limitMs } of groups) {
        const group = children.filter((child) => match(child.name))
        const ended = await Promise.all(group.map((child) => child.stop(limitMs)))
        clean &&= ended.every(Boolean)
      }
      return clean
    },
    async kill() {
      await Promise.all(children.map((child) => child.kill()))
    },
  }
}
