import { hostname } from 'node:os'
import { join } from 'node:path'
import { AuditService } from '../../proto/gen/intramuros/v1/audit.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { exitStatus, FatalStartError, packageVersion, StartAgainError } from '../shared/supervision.ts'
import { serveRpc } from '../shared/rpc/serve.ts'
import { AnchorSettingsError, type Outside, startOutside } from './anchors/start.ts'
import { deliverChanges } from '../shared/directory/deliver-changes.ts'
import { openDirectory } from '../shared/directory/directory.ts'
import { DirectoryError } from '../shared/directory/directory-error.ts'
import { ensureFirstTeam } from '../shared/directory/first-team.ts'
import { serveDirectory } from './directory/directory-service.ts'
import { directoryPlace } from './directory/place.ts'
import { openSharedDirectory, type SharedDirectory } from './directory/shared-directory.ts'
import { createBackend } from './backend.ts'
import { createContent } from './content/content.ts'
import { goOnFromIndex } from './go-on-from-index.ts'
import { createIsolationChecks } from './isolation-checks.ts'
import { createLedger } from './ledger.ts'
import { createMetrics } from './metrics.ts'
import { hasFormerLog, LogUnusableError, openLog, type OpenLog } from './open-log.ts'
import { startReading } from './reading/start-reading.ts'
import { createReceipts } from './receipts.ts'
import { createRequests } from './requests.ts'
import { startRetention } from './retention/start-retention.ts'
import { createAuditService } from './service.ts'
import { openSettingsMemory } from './settings-memory.ts'
import { PostgresError } from './store/postgres/postgres-error.ts'
import { HeadMovedError, StoreError } from './store/store.ts'
import { watchStalls } from './watch-stalls.ts'

/** How often content is looked for that is older than audit.contentDays. */
const cleanMs = 3_600_000

// As a standby it may wait for ever.
await runService('audit', start, { mayEndWhileStarting: true })

async function start({ config, log: logger, registry, identity, serverCalls }: ServiceContext): Promise<RunningService> {
  const { folder, keyFolder, keyFile, origin, listen, orphanSeconds, appendTimeoutSeconds, checkpointSeconds, clockToleranceSeconds } = config.audit
  const metrics = createMetrics(registry)
  const requests = createRequests()
  const backend = createBackend(config.audit, logger)
  const closing = new AbortController()
  const log = await open()
  logger.info({ records: log.size, origin: log.signer.origin }, 'ledger opened')
  if (await hasFormerLog(folder)) logger.info({}, 'an audit.log of a former version lies beside the log: it is left as it is, and no longer written')
  const settings = await openSettingsMemory(join(keyFolder, 'settings.json'))
  const ledger = createLedger({
    log,
    requests,
    findForgotten: (requestId) => reading.find(requestId),
    orphanMs: orphanSeconds * 1000,
    schedule,
    logger,
    onOpen: (count) => metrics.openRequests.set(count),
  })
  log.onCommitted(ledger.committed)
  const outside = await watchedFromOutside(log)
  const content = createContent({ folder: config.audit.contentFolder, days: config.audit.contentDays, timeoutMs: appendTimeoutSeconds * 1000, append: (entry) => log.append([entry]), clock: Date.now, log: logger })
  void content.clean()
  const cleaning = setInterval(() => void content.clean(), cleanMs)
  const reading = startReading({ store: log.store, index: backend.indexOf(log.store), content, vkey: log.signer.vkey, append: (entry) => log.append([entry]), log: logger, clock: Date.now })
  log.onCommitted(reading.index.committed)
  const retention = startRetention({ log, store: log.store, index: reading.index, retention: config.audit.retention, clock: Date.now, schedule, logger, metrics })
  const endWatch = watchStalls({ append: (entries) => log.append(entries), limitMs: appendTimeoutSeconds * 1000, monotonic: () => performance.now(), clock: Date.now, log: logger })
  const receipts = createReceipts({
    // The ledger knows the last ones at once, the index all.
    findRequest: async (requestId) => ledger.find(requestId) ?? (await reading.find(requestId)),
    store: log.store,
    // One that witnesses have cosigned tells more than a newer one that none has.
    checkpointOf: async (size) => outside.cosignedOf(size) ?? (await log.checkpointOf(size)),
  })
  const isolation = createIsolationChecks({
    async newest(signal) {
      await reading.index.reached(log.size, signal)
      return (await reading.index.ask('events', { type: 'isolation.checked', order: 'newest', limit: 1 })).rows[0]?.record
    },
    registry,
    log: logger,
    clock: Date.now,
  })
  isolation.restore(closing.signal).catch(() => undefined) // what needs it tries again
  const directory = config.audit.directory ? await openServedDirectory() : undefined
  const served = directory && serveDirectory({ directory, log: logger })
  const delivery =
    directory &&
    deliverChanges({
      directory,
      log: logger,
      async record({ settings: changed, ...change }) {
        await ledger.record(`directory-${change.id}`, { type: 'directory.changed', ...change, settings: [...changed] })
      },
    })
  delivery?.attached(ledger.directoryChange)
  const server = await serveRpc({
    service: AuditService,
    handlers: { ...createAuditService({ ledger, receipts, settings, content, isolation, log: logger }) },
    identity,
    listen,
    callers: ['gateway'],
    beside: served === undefined ? [reading.beside] : [reading.beside, served.beside],
    observer: serverCalls,
    log: logger,
  })
  return {
    ports: { grpc: server.port },
    ready: () => log.usable,
    async drain(limitMs) {
      ledger.drain()
      reading.drain()
      served?.drain()
      await server.close(limitMs)
    },
    async close() {
      closing.abort()
      delivery?.close()
      directory?.close()
      clearInterval(cleaning)
      endWatch()
      await outside.close()
      await retention.close()
      await reading.close()
      await log.close()
      await backend.close()
    },
  }

  async function watchedFromOutside(opened: OpenLog): Promise<Outside> {
    const { store, signer, publishCosigned } = opened
    try {
      return await startOutside({ settings: config.audit, store, vkey: signer.vkey, publishCosigned, registry, log: logger })
    } catch (thrown) {
      await opened.close()
      if (thrown instanceof AnchorSettingsError) throw new FatalStartError(thrown.message, exitStatus.configuration)
      throw thrown
    }
  }

  async function open(): Promise<OpenLog> {
    try {
      return await openLog({
        openStore: backend.openStore,
        keyFolder,
        keyFile,
        origin,
        appendTimeoutMs: appendTimeoutSeconds * 1000,
        checkpointMs: checkpointSeconds * 1000,
        clockToleranceMs: clockToleranceSeconds * 1000,
        instance: hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 128) || 'audit',
        version: packageVersion(),
        clock: Date.now,
        log: logger,
        metrics,
        goOn: (store, size) => goOnFromIndex({ index: backend.indexOf(store), size, requests, log: logger }),
        onRecord: requests.replay,
        gap: backend.gap,
        // What is stored is not known any more, or somebody else writes. The next process reads it and knows. Thrown as a crash, so that the log is flushed.
        onFailed(cause) {
          const lost = cause instanceof StoreError || (backend.shared && cause instanceof HeadMovedError)
          if (cause instanceof StoreError) backend.noteLost()
          setImmediate(() => {
            throw lost ? new StartAgainError(cause.message) : new Error('the audit log can not go on in this process')
          })
        },
      })
    } catch (thrown) {
      if (thrown instanceof LogUnusableError) throw new FatalStartError(thrown.message, exitStatus.badData)
      throw startErrorOf(thrown)
    }
  }

  /** Commands that change teams and keys run beside this service, in processes of their own. */
  async function openServedDirectory(): Promise<SharedDirectory> {
    try {
      const place = directoryPlace(config.audit)
      if (place !== undefined) return await openSharedDirectory({ place, home: config.home, recorded: ledger.directoryChange, log: logger })
      const own = openDirectory({ home: config.home })
      ensureFirstTeam(own)
      return own
    } catch (thrown) {
      throw thrown instanceof DirectoryError ? new FatalStartError(thrown.message) : startErrorOf(thrown)
    }
  }
}

/** What waiting would not have changed at PostgreSQL is for somebody to mend; the rest was lost since. */
function startErrorOf(thrown: unknown): unknown {
  if (!(thrown instanceof PostgresError)) return thrown
  return thrown.passing ? new StartAgainError(thrown.message) : new FatalStartError(thrown.message, exitStatus.configuration)
}

function schedule(run: () => void, ms: number): () => void {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}
