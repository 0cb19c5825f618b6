import { setTimeout as after } from 'node:timers/promises'
import type { Registry } from 'prom-client'
import { type Config, ConfigError, loadConfig } from './config/load.ts'
import { createLogger, describeError, type ServiceLogger } from './log.ts'
import { createRegistry, startMonitor } from './metrics.ts'
import { type CallObserver, createCallObserver } from './rpc/observe.ts'
import { keepMemoryOffDisks } from './memory-dumps.ts'
import { aliveIntervalMs, exitStatus, FatalStartError, type FatalStatus, type FromService, packageVersion, type ServiceName, StartAgainError, type ToService } from './supervision.ts'
import { startTelemetry, type Telemetry } from './telemetry.ts'
import { writeTerminationLog } from './termination-log.ts'
import { type Identity, identityPlace, watchIdentity } from './tls/identity.ts'

/** What every service starts from. Tests make one by hand. */
export interface ServiceContext {
  config: Config
  log: ServiceLogger
  registry: Registry
  telemetry: Telemetry
  /** This service's own certificate. */
  identity: Identity
  serverCalls: CallObserver
  clientCalls: CallObserver
  /**
   * Tells what the process is doing that may end it without a word, native code that crashes for example, to whoever finds it dead
   * (the launcher, Kubernetes). Empty: nothing any more; it is that once the service is ready.
   */
  atRisk(what: string): void
}

export interface RunningService {
  /** Ports that it listens on, by name. */
  ports: Record<string, number>
  ready(): boolean
  /** What an operator must not forget while the service is ready; `/readyz` says it. Undefined: nothing. */
  warning?(): string | undefined
  /** Why it is not ready, where there is more to say; `/readyz` says it. */
  notReady?(): string | undefined
  /** Refuses new work and waits for what is under way, at most `limitMs`; then ends it. */
  drain(limitMs: number): Promise<void>
  /** Releases what is left. Called once, after drain. */
  close(): Promise<void>
}

/** How long a service may take to end when its launcher has died. The ledger goes last: what the others end is still to be recorded. */
const orphanDrainMs = (name: ServiceName): number => (name === 'audit' ? 4000 : 1000)

/**
 * Runs one service as a process, from its environment to its end. `mayEndWhileStarting`: its start may take as long as it likes, and
 * leaves nothing behind wherever the process ends in it.
 */
export async function runService(name: ServiceName, start: (context: ServiceContext) => Promise<RunningService>, { mayEndWhileStarting = false } = {}): Promise<void> {
  const dumping = keepMemoryOffDisks()
  if (dumping.length > 0) {
    fatal(`Node.js was given ${dumping.join(' and ')}, with which prompts get into files. Take it out of its options (NODE_OPTIONS).`, exitStatus.configuration)
    return
  }
  let config: Config
  try {
    config = loadConfig({ env: process.env, service: name })
  } catch (thrown) {
    fatal(thrown instanceof ConfigError ? thrown.message : 'The configuration could not be read.', exitStatus.configuration)
    return
  }
  const log = createLogger(name, config.log.level)
  process.on('uncaughtException', (error) => crash('uncaughtException', error))
  process.on('unhandledRejection', (error) => crash('unhandledRejection', error))

  function crash(what: string, error: unknown): void {
    const err = describeError(error)
    if (error instanceof StartAgainError) {
      log.error({ reason: error.message }, 'ends, to be started again')
      log.flush()
      writeTerminationLog(error.message)
      process.exit(exitStatus.again)
    }
    log.error({ err }, what)
    log.flush()
    writeTerminationLog(`An error that nobody expected (${what}): ${err.code ?? err.type}. The log tells where.`)
    process.exit(exitStatus.crashed)
  }

  try {
    const version = packageVersion()
    const registry = createRegistry(name, version)
    const telemetry = await startTelemetry({ service: `intramuros-${name}`, version, tracesUrl: config.telemetry.tracesUrl })
    const identity = await watchIdentity({ ...(await identityPlace(config.tls.folder, name)), log })
    let running: RunningService | undefined
    const monitor = await startMonitor({
      registry,
      host: config.metricsHost,
      port: metricsPort(config, name),
      live: () => true,
      ready: () => running?.ready() ?? false,
      warning: () => running?.warning?.(),
      notReady: () => running?.notReady?.(),
    })
    const stopHeeding = mayEndWhileStarting ? heedWhileStarting(log) : undefined
    running = await start({
      config,
      log,
      registry,
      telemetry,
      identity,
      serverCalls: createCallObserver('server', registry, telemetry),
      clientCalls: createCallObserver('client', registry, telemetry),
      atRisk,
    })
    stopHeeding?.()
    const ports = { ...running.ports, metrics: monitor.port }
    log.info({ ports }, 'listening')
    tell({ type: 'listening', ports })
    const service = running
    void announceReady(service)

    let ending = false
    const end = (limitMs: number, why: string): void => {
      if (ending) process.exit(exitStatus.interrupted)
      ending = true
      log.info({ why, limitMs }, 'draining')
      void stop(limitMs)
    }
    const stop = async (limitMs: number): Promise<void> => {
      await service.drain(limitMs)
      await service.close()
      monitor.close()
      identity.close()
      await telemetry.shutdown()
      log.info({}, 'ended')
      log.flush()
      process.exit(exitStatus.ok)
    }
    setInterval(() => tell({ type: 'alive' }), aliveIntervalMs).unref()
    process.on('SIGTERM', () => end(config.drainSeconds * 1000, 'SIGTERM'))
    // Ctrl-C on a terminal reaches every process of the group; under the launcher only its word counts.
    process.on('SIGINT', () => process.connected || end(config.drainSeconds * 1000, 'SIGINT'))
    process.on('message', (message: ToService) => message.type === 'drain' && end(message.limitMs, 'launcher'))
    const orphaned = (): void => void (ending || end(orphanDrainMs(name), 'the launcher is gone'))
    process.on('disconnect', orphaned)
    if (process.send !== undefined && !process.connected) orphaned() // it died before there was anyone to hear it
  } catch (thrown) {
    if (isPortInUse(thrown)) {
      log.error({ reason: thrown.message, err: describeError(thrown) }, 'a port is in use')
      log.flush()
      writeTerminationLog('Another program has a port that this service listens on. The log names it.')
      process.exit(exitStatus.portInUse)
    }
    if (!(thrown instanceof FatalStartError)) {
      const refused = refusedFile(thrown)
      if (refused !== undefined) log.error({ reason: refused }, 'the file system refuses something')
      crash('could not start', thrown)
      return
    }
    log.flush()
    fatal(thrown.message, thrown.status)
  }
}

/** What a file system refused, with the path; nothing of a request has been seen yet. */
function refusedFile(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error && 'syscall' in thrown && 'path' in thrown)) return undefined
  const rights = 'code' in thrown && (thrown.code === 'EACCES' || thrown.code === 'EPERM')
  return `${thrown.message}${rights ? `. It has to belong to the user of this process (${process.getuid?.() ?? ''}).` : ''}`
}

/** Ends the process when it is told to, until the function that this returns is called. As process 1 of a container it would not end by itself. */
function heedWhileStarting(log: ServiceLogger): () => void {
  const end = (): void => {
    log.info({}, 'ended before it had started')
    log.flush()
    process.exit(exitStatus.ok)
  }
  process.once('SIGTERM', end)
  process.once('disconnect', end)
  return () => {
    process.off('SIGTERM', end)
    process.off('disconnect', end)
  }
}

async function announceReady(service: RunningService): Promise<void> {
  while (!service.ready()) await after(10)
  atRisk('')
  tell({ type: 'ready' })
}

function atRisk(what: string): void {
  writeTerminationLog(what)
  tell({ type: 'atRisk', what })
}

function fatal(message: string, status: FatalStatus): void {
  process.stderr.write(`${message}\n`)
  writeTerminationLog(message)
  process.exitCode = status
  if (process.send === undefined) process.exit()
  else process.send({ type: 'fatal', message } satisfies FromService, () => process.exit())
}

function tell(message: FromService): void {
  if (process.connected) process.send?.(message, () => undefined)
}

function metricsPort({ audit, tokenizer, inferenceWorker, gateway }: Config, name: ServiceName): number {
  return { audit, tokenizer, 'inference-worker': inferenceWorker, gateway }[name].metricsPort
}

function isPortInUse(thrown: unknown): thrown is Error {
  return thrown instanceof Error && (('code' in thrown && thrown.code === 'EADDRINUSE') || thrown.message.includes('EADDRINUSE'))
}
