import { AuditService } from '../../proto/gen/intramuros/v1/audit.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { exitStatus, FatalStartError } from '../shared/supervision.ts'
import { serveRpc } from '../shared/rpc/serve.ts'
import { createLedger } from './ledger.ts'
import { type AuditLog, openLog } from './log/log.ts'
import { LogUnusableError } from './log/recover.ts'
import { createMetrics } from './metrics.ts'
import { createRequests } from './requests.ts'
import { createAuditService } from './service.ts'

/** How long a predecessor that is ending may take to let go of the log. */
const lockWaitMs = 10_000

await runService('audit', start)

async function start({ config, log: logger, registry, identity, serverCalls }: ServiceContext): Promise<RunningService> {
  const { folder, listen, orphanSeconds } = config.audit
  const metrics = createMetrics(registry)
  const requests = createRequests()
  const log = await open()
  logger.info({ records: log.recovered.log.count, adopted: log.recovered.adopted }, 'ledger opened')
  const ledger = createLedger({
    log,
    requests,
    orphanMs: orphanSeconds * 1000,
    schedule(run, ms) {
      const timer = setTimeout(run, ms)
      return () => clearTimeout(timer)
    },
    logger,
    onOpen: (count) => metrics.openRequests.set(count),
  })
  const server = await serveRpc({
    service: AuditService,
    handlers: { ...createAuditService({ ledger, log: logger }) },
    identity,
    listen,
    callers: ['gateway'],
    observer: serverCalls,
    log: logger,
  })
  return {
    ports: { grpc: server.port },
    ready: () => log.usable,
    async drain(limitMs) {
      ledger.drain()
      await server.close(limitMs)
    },
    close: () => log.close(),
  }

  async function open(): Promise<AuditLog> {
    try {
      return await openLog({
        folder,
        lockWaitMs,
        clock: Date.now,
        log: logger,
        metrics,
        onRecord: requests.replay,
        // What is on the disk is not known any more. The next process reads it and knows. Thrown as a crash, so that the log is flushed.
        onFailed: () =>
          setImmediate(() => {
            throw new Error('the audit log can not go on in this process')
          }),
      })
    } catch (thrown) {
      if (thrown instanceof LogUnusableError) throw new FatalStartError(thrown.message, exitStatus.badData)
      throw thrown
    }
  }
}
