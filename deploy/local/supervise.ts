import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as after } from 'node:timers/promises'
import { exitStatus, isFinal, type ToService } from '../../services/shared/supervision.ts'
import type { Logger } from '../../services/shared/log.ts'
import { asFromService } from './child-message.ts'
import { describeEnd } from './describe-end.ts'
import { type Bind, describeBusy } from './ports.ts'

export interface ChildSpec {
  /** Unique among the children: `inference-worker-2` is the second worker. */
  name: string
  /** Arguments for node: the script and what follows it. */
  args: string[]
  env: NodeJS.ProcessEnv
  /** Where it listens: to name the setting when an address is taken. */
  binds: Bind[]
}

export interface SuperviseTiming {
  /** First wait before a restart, in milliseconds; it doubles with each death in a row. */
  firstDelayMs: number
  maxDelayMs: number
  /** A child that was up so long has its deaths forgotten. */
  resetAfterMs: number
  /** How many starts in a row may find a port in use. */
  portTries: number
  /** How many crashes in a row while it loads what it has never loaded before: the same again would come of it. */
  loadTries: number
  /** How much longer than its limit a drain may take before the child is killed. */
  killMarginMs: number
  /** A service that was alive and says nothing for so long hangs, and is killed. Far above what a busy machine keeps it from. */
  hangAfterMs: number
}

export const defaultTiming: SuperviseTiming = {
  firstDelayMs: 200,
  maxDelayMs: 10_000,
  resetAfterMs: 30_000,
  portTries: 5,
  loadTries: 2,
  killMarginMs: 2000,
  hangAfterMs: 20_000,
}

export type ChildEvent =
  | { type: 'spawned'; child: ChildProcess; /** It does not listen yet. */ isStarting(): boolean }
  | { type: 'ready' }
  /** It died and is going to be started again; `how` is for people, `deaths` counts those in a row. */
  | { type: 'died'; how: string; deaths: number }
  /** It is given up. `status` is that of its process, undefined when a signal ended it. */
  | { type: 'failed'; message: string; status: number | undefined }

export interface SuperviseOptions {
  log: Logger
  onEvent(event: ChildEvent): void
  timing?: SuperviseTiming
}

export interface Supervised {
  name: string
  state(): ChildState
  /**
   * Drains it, killing it when it takes longer than the limit and a margin; never restarts it. True when it ended by
   * itself with status 0.
   */
  stop(limitMs: number): Promise<boolean>
  /** Ends it at once; resolves when it is gone. */
  kill(): Promise<void>
}

export interface ChildState {
  /** Process id while it runs. */
  pid: number | undefined
  /** How often it was started again. */
  restarts: number
  /** How and when it last ended by itself. */
  lastEnd: { how: string; at: string } | undefined
  /** No restart is tried any more. */
  givenUp: boolean
}

interface End {
  status: number | null
  signal: NodeJS.Signals | null
  /** What it said about an error for good. */
  fatal: string | undefined
  /** What it said that it may die of; empty for nothing. */
  atRisk: string
  /** Its heart stopped, so it was killed. */
  hung: boolean
  startedAt: number
}

/**
 * Becomes the service with a limit of nothing for core files: they would hold prompts. It has no other way to set a limit for a
 * process before it runs.
 */
const withoutCoreFiles = 'ulimit -c 0; exec "$0" "$@"'

interface Phase {
  name: 'starting' | 'listening' | 'ready'
}

/** Runs one service as a child process and restarts it, with exponential back-off, until it is stopped or fails for good. */
export function supervise(spec: ChildSpec, { log, onEvent, timing = defaultTiming }: SuperviseOptions): Supervised {
  const { name } = spec
  let child: ChildProcess | undefined
  let phase: Phase = { name: 'starting' }
  let stopping = false
  let deaths = 0
  let portsTaken = 0
  let crashedLoads = 0
  let wasReady = false
  const history: Omit<ChildState, 'pid'> = { restarts: 0, lastEnd: undefined, givenUp: false }
  let restart: NodeJS.Timeout | undefined

  function launch(): void {
    const own: Phase = { name: 'starting' }
    phase = own
    const startedAt = performance.now()
    let fatal: string | undefined
    let atRisk = ''
    let hung = false
    // A session of its own: a terminal's Ctrl-C and hang-up reach only the launcher, which then drains in order.
    const stdio: ('ignore' | 'pipe' | 'ipc')[] = ['ignore', 'pipe', 'pipe', 'ipc']
    const launched = spawn('/bin/sh', ['-c', withoutCoreFiles, process.execPath, ...spec.args], { env: spec.env, stdio, detached: true })
    child = launched
    const heartbeat = watchHeartbeat(timing.hangAfterMs, () => {
      hung = true
      log.error({ child: name, childPid: launched.pid }, 'a service hangs and is killed')
      launched.kill('SIGKILL')
    })
    launched.on('message', (value) => {
      const message = asFromService(value)
      if (message?.type === 'fatal') fatal = message.message
      else if (message?.type === 'listening') own.name = 'listening'
      else if (message?.type === 'alive') heartbeat.seen()
      else if (message?.type === 'atRisk') atRisk = message.what
      else if (message?.type === 'ready') {
        own.name = 'ready'
        portsTaken = 0
        wasReady = true
        onEvent({ type: 'ready' })
      }
    })
    launched.once('error', (error) => launched.pid === undefined && died(`could not be started: ${error.message}`, startedAt))
    launched.once('exit', (status, signal) => {
      heartbeat.end()
      void lastWords(launched).then(() => ended({ status, signal, fatal, atRisk, hung, startedAt }))
    })
    if (launched.pid !== undefined) {
      log.debug({ child: name, childPid: launched.pid }, 'started a service')
      onEvent({ type: 'spawned', child: launched, isStarting: () => own.name === 'starting' })
    }
  }

  async function ended({ status, signal, fatal, atRisk, hung, startedAt }: End): Promise<void> {
    const words = fatal ?? atRisk
    const how = describeEnd({ status, signal, hung, explained: words !== '' })
    const why = words === '' ? how : `${words} (${how})`
    if (isFinal(status, wasReady)) return failed(why, status)
    if (status === exitStatus.portInUse) {
      portsTaken += 1
      if (portsTaken >= timing.portTries) {
        const busy = await describeBusy(spec.binds)
        return failed(busy.length > 0 ? busy.join(' ') : `A port that it listens on is used by another program: ${settings()}.`, status)
      }
    }
    crashedLoads = atRisk !== '' && signal !== null && !hung && !wasReady ? crashedLoads + 1 : 0
    if (crashedLoads >= timing.loadTries) return failed(why, status)
    died(why, startedAt)
  }

  function settings(): string {
    return spec.binds.map((bind) => `${bind.setting} (${bind.host}:${bind.port})`).join(', ')
  }

  function failed(message: string, status: number | null): void {
    child = undefined
    if (stopping) return
    stopping = true
    history.lastEnd = { how: message, at: new Date().toISOString() }
    history.givenUp = true
    log.error({ child: name, reason: message }, 'a service failed for good')
    onEvent({ type: 'failed', message, status: status ?? undefined })
  }

  function died(how: string, startedAt: number): void {
    child = undefined
    if (stopping) return
    if (performance.now() - startedAt >= timing.resetAfterMs) deaths = 0
    const delayMs = backOff(deaths, timing)
    deaths += 1
    history.lastEnd = { how, at: new Date().toISOString() }
    log.warn({ child: name, how, deaths, restartInMs: delayMs }, 'a service died')
    onEvent({ type: 'died', how, deaths })
    restart = setTimeout(() => {
      history.restarts += 1
      launch()
    }, delayMs)
  }

  async function stop(limitMs: number): Promise<boolean> {
    stopping = true
    clearTimeout(restart)
    const draining = child
    if (draining === undefined) return true
    const exit = exited(draining)
    if (phase.name === 'starting') {
      // It has nothing under way and would read a message only once it listens.
      draining.kill('SIGTERM')
      await killAfter(draining, exit, timing.killMarginMs)
      return true
    }
    const message: ToService = { type: 'drain', limitMs }
    // A channel that is closed already means a child that is ending.
    draining.send(message, () => undefined)
    const intime = await killAfter(draining, exit, limitMs + timing.killMarginMs)
    if (!intime) log.warn({ child: name, limitMs }, 'a service did not drain in time and was killed')
    const [status] = await exit
    return status === exitStatus.ok
  }

  async function kill(): Promise<void> {
    stopping = true
    clearTimeout(restart)
    if (child === undefined) return
    const exit = exited(child)
    child.kill('SIGKILL')
    await exit
  }

  launch()
  return { name, state: () => ({ ...history, pid: child?.pid }), stop, kill }
}

/** Milliseconds to wait after so many deaths in a row: doubling, and spread so that several don't come back in step. */
export function backOff(deaths: number, timing: Pick<SuperviseTiming, 'firstDelayMs' | 'maxDelayMs'>): number {
  return Math.round(Math.min(timing.maxDelayMs, timing.firstDelayMs * 2 ** Math.min(deaths, 30)) * (0.75 + Math.random() * 0.25))
}

/** A process's exit may be known before its last message is read. */
async function lastWords(child: ChildProcess): Promise<void> {
  if (child.connected) await Promise.race([once(child, 'disconnect'), after(500)])
}

function exited(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve([child.exitCode, child.signalCode])
  return new Promise((resolve) => {
    child.once('exit', (status, signal) => resolve([status, signal]))
  })
}

/** False when it had to be killed. */
async function killAfter(child: ChildProcess, exit: Promise<unknown>, limitMs: number): Promise<boolean> {
  const enough = new AbortController()
  const killed = after(limitMs, undefined, { signal: enough.signal }).then(
    () => child.kill('SIGKILL'),
    () => false,
  )
  await exit
  enough.abort()
  return !(await killed)
}

interface Heartbeat {
  seen(): void
  end(): void
}

/**
 * Calls back once when a heartbeat that was seen has stopped. It is looked for four times in that span, and must be missing twice
 * in a row: after the whole machine has slept, the beats are late.
 */
function watchHeartbeat(hangAfterMs: number, onHang: () => void): Heartbeat {
  let last: number | undefined
  let missed = 0
  const timer = setInterval(() => {
    missed = last !== undefined && performance.now() - last > hangAfterMs ? missed + 1 : 0
    if (missed < 2) return
    clearInterval(timer)
    onHang()
  }, hangAfterMs / 4)
  return {
    seen() {
      last = performance.now()
    },
    end: () => clearInterval(timer),
  }
}
