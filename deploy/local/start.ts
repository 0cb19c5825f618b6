import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { loadConfig } from '../../services/shared/config/load.ts'
import type { Config } from '../../services/shared/config/schema.ts'
import { packageVersion } from '../../services/shared/supervision.ts'
import type { Logger } from '../../services/shared/log.ts'
import { banner } from './banner.ts'
import { ensureCertificates, keepCertificatesFresh } from './certificates.ts'
import { type Children, type NamedChild, startChildren } from './children.ts'
import { writeDefaultFiles } from './default-files.ts'
import { childEnvironment, type Overrides } from './environment.ts'
import { makeDirectory, firstKey } from './first-team.ts'
import { waitForLeftovers } from './leftovers.ts'
import { lockHome } from './lock.ts'
import { createLogs } from './logs.ts'
import { ensureModels } from './models.ts'
import { removePlatformFile, writePlatformFile } from './platform-file.ts'
import { onStopSignals } from './signals.ts'
import { publicAddress, servicesFolder, type Wiring, wire } from './wiring.ts'

export interface StartOptions {
  env: NodeJS.ProcessEnv
  /** Configuration file that was named. */
  file?: string | undefined
  /** Settings of the command line, by their path. */
  overrides: Overrides
  /** Folder of the services; tests have their own. */
  services?: string
}

const interrupted = 130

/** A large model may be read from a slow disk. */
const readyLimitMs = 600_000

/** For services that have nothing under way any more once the gateway has drained. */
const innerDrainMs = 5000

/**
 * Starts the platform on its state folder and stays until it is told to stop. Resolves with the exit status: 0 after
 * a clean drain, 1 when a service had to be killed for it, 130 when it was interrupted before it was ready or told
 * twice. Throws what keeps it from starting.
 */
export async function start({ env, file, overrides, services = servicesFolder }: StartOptions): Promise<number> {
  const config = loadConfig({ env, overrides, file })
  const { home } = config
  const { log, attach, flush } = await createLogs({ ...config.log, terminal: process.stderr.isTTY })
  const lock = lockHome(home)
  const stop = stopOnSignals(log)
  let record: PlatformRecord | undefined
  let children: Children | undefined
  let stopRenewing: (() => void) | undefined
  try {
    await waitForLeftovers(home, log)
    record = startRecord(config)
    await writeDefaultFiles(config)
    stopRenewing = await renewCertificates(config, log)
    await ensureModels(config, env, log, stop.signal)
    makeDirectory(config)
    const wiring = await wire(config, childEnvironment(config, overrides, env), record.token, services)
    children = startChildren(wiring.specs, { log, attach, onChange: record.of(wiring) })
    stop.onSecond(children.kill)
    await children.ready(readyLimitMs, stop.signal)
    process.stdout.write(describe(config, wiring, await firstKey(config)))
    await stop.signalled
    return (await drain(children, config)) ? 0 : 1
  } catch (thrown) {
    await children?.kill()
    if (!stop.signal.aborted) throw thrown
    return interrupted
  } finally {
    stopRenewing?.()
    stop.close()
    record?.remove()
    lock.release()
    await flush()
  }
}

function stopOnSignals(log: Logger): {
  /** Aborted by the first signal. */
  signal: AbortSignal
  signalled: Promise<void>
  /** What a second signal does before this process ends. */
  onSecond(kill: () => Promise<void>): void
  close(): void
} {
  const first = new AbortController()
  const signalled = Promise.withResolvers<void>()
  let kill: () => Promise<void> = async () => undefined
  const close = onStopSignals({
    drain(signal) {
      log.info({ signal }, 'stopping: requests under way may end; once more to end at once')
      first.abort()
      signalled.resolve()
    },
    now() {
      void kill().finally(() => process.exit(interrupted))
    },
  })
  return { signal: first.signal, signalled: signalled.promise, onSecond: (how) => (kill = how), close }
}

/** Keeps run/platform.json, which tells other processes who runs here. */
interface PlatformRecord {
  token: string
  /** Makes what records the children that run. */
  of(wiring: Wiring): (children: NamedChild[]) => void
  remove(): void
}

function startRecord(config: Config): PlatformRecord {
  const { home } = config
  const token = randomBytes(12).toString('hex')
  const facts = {
    pid: process.pid,
    token,
    startedAt: new Date().toISOString(),
    version: packageVersion(),
    address: publicAddress(config.gateway.host, config.gateway.port),
    caFile: join(config.tls.folder, 'ca.crt'),
    metricsHost: config.metricsHost,
  }
  writePlatformFile(home, { ...facts, children: [] })
  return {
    token,
    of: ({ address, ports }) => (all) => {
      const children = all.flatMap(({ name, pid, restarts, lastEnd }) =>
        pid === undefined ? [] : [{ name, pid, ports: ports.get(name) ?? {}, restarts, ...(lastEnd && { lastEnd }) }],
      )
      const down = all.flatMap(({ name, pid, givenUp, lastEnd }) => (pid === undefined ? [{ name, givenUp, ...(lastEnd && { lastEnd }) }] : []))
      writePlatformFile(home, { ...facts, address, children, down })
    },
    remove: () => removePlatformFile(home),
  }
}

async function renewCertificates(config: Config, log: Logger): Promise<() => void> {
  const { host, names } = config.gateway
  const options = {
    folder: config.tls.folder,
    now: () => new Date(),
    httpsNames: ['0.0.0.0', '::'].includes(host) ? names : [host, ...names],
    leafLifetimeMs: config.tls.leafLifetimeHours * 3_600_000,
    caLifetimeMs: config.tls.caLifetimeDays * 86_400_000,
  }
  const { renewAt } = await ensureCertificates(options)
  return keepCertificatesFresh(options, renewAt, (state, failure) => {
    if (state === undefined) log.error({ err: failure }, 'the certificates could not be renewed')
    else if (state.changed.length > 0) log.info({ changed: state.changed }, 'renewed certificates')
  })
}

/** The way of the data: who lets requests in first, the ledger last. */
function drain(children: Children, config: Config): Promise<boolean> {
  return children.drain([
    { match: (name) => name === 'gateway', limitMs: config.drainSeconds * 1000 },
    { match: (name) => name === 'tokenizer' || name.startsWith('inference-worker'), limitMs: innerDrainMs },
    { match: (name) => name === 'audit', limitMs: innerDrainMs },
  ])
}

function describe(config: Config, { address, ports, notes }: Wiring, key: string | undefined): string {
  const host = config.metricsHost.includes(':') ? `[${config.metricsHost}]` : config.metricsHost
  return banner({
    address,
    caFile: join(config.tls.folder, 'ca.crt'),
    key,
    models: config.serve,
    metrics: [...ports].map(([name, { metrics }]) => ({ name, address: `http://${host}:${metrics}` })),
    home: config.home,
    configFile: config.file,
    notes,
  })
}
