import { describeError, type Logger } from '../log.ts'
import type { Observation } from './observation.ts'
import { judge } from './judge.ts'
import { formatTarget, isMetadataAddress, type Target } from './target.ts'

export interface SelfCheckOptions {
  outside: readonly Target[]
  /** Policies are enforced a moment after a pod has started: for so long it is tried again until it fails. */
  settleMs: number
  /** How often it is tried again later. */
  intervalMs: number
  attemptAll(targets: readonly Target[]): Promise<Observation[]>
  log: Logger
  /** Milliseconds, of any beginning. */
  now(): number
  /** Resolves after so long, or when the signal aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void>
  /** Told after each check how many of the addresses were reached. */
  onChecked(reached: number): void
}

export interface SelfCheck {
  /** Why this service must not work: what it reached, in words. Undefined: it reached nothing. */
  readonly reached: string | undefined
  close(): void
}

const retryMs = 500

/** Tries to get out, until it fails or was given long enough; then again and again. Resolves after the first of these. */
export async function startSelfCheck({ outside, settleMs, intervalMs, attemptAll, log, now, pause, onChecked }: SelfCheckOptions): Promise<SelfCheck> {
  const closing = new AbortController()
  let reached = await settle()

  async function check(): Promise<string | undefined> {
    const observations = await attemptAll(outside)
    const open = outside.filter((target, place) => isOpen(target, observations[place]))
    onChecked(open.length)
    return open.length === 0 ? undefined : open.map(formatTarget).join(', ')
  }

  async function settle(): Promise<string | undefined> {
    const deadline = now() + settleMs
    for (;;) {
      const found = await check()
      if (found === undefined) log.info({ tried: outside.length }, 'self-check: the outside can not be reached')
      if (found === undefined || now() >= deadline) return found
      await pause(retryMs, closing.signal)
    }
  }

  async function repeat(): Promise<void> {
    for (;;) {
      await pause(reached === undefined ? intervalMs : Math.min(intervalMs, 10_000), closing.signal)
      if (closing.signal.aborted) return
      const found = await check()
      if (found !== undefined && reached === undefined) log.error({ reached: found }, 'self-check: THE OUTSIDE CAN BE REACHED')
      if (found === undefined && reached !== undefined) log.info({}, 'self-check: the outside can not be reached any more')
      reached = found
    }
  }

  repeat().catch((thrown: unknown) => log.error({ err: describeError(thrown) }, 'the self-check ended'))
  return {
    get reached() {
      return reached
    },
    close: () => closing.abort(),
  }
}

/** The addresses are of those that surely listen, but for the metadata address, which in most places nobody has. */
function isOpen(target: Target, observation: Observation | undefined): boolean {
  if (observation === undefined) return false
  const listening = isMetadataAddress(target.host) ? 'unknown' : 'likely'
  return judge(observation, { must: 'fail', listening, wallsRefuse: false }) === 'violated'
}
