import { AuditService, ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Directory } from '../shared/directory/directory.ts'
import type { RunningService, ServiceContext } from '../shared/lifecycle.ts'
import type { ModelEntry } from '../shared/models/catalogue.ts'
import { connectLane, type LaneClient } from '../shared/rpc/lane-client.ts'
import type { Service } from '../shared/rpc/methods.ts'
import { packageVersion } from '../shared/supervision.ts'
import type { Identity } from '../shared/tls/identity.ts'
import { createAdmission } from './admission.ts'
import { createDataKeys } from './content/data-keys.ts'
import { createKeepContent } from './content/keep-content.ts'
import { startHttp } from './http/server.ts'
import { connectOneOf } from './connect-one-of.ts'
import { createMetrics } from './metrics.ts'
import { createModelDescriptions } from './model-descriptions.ts'
import type { Gateway } from './recorded.ts'
import { createRoutes } from './routes.ts'
import { watchTokenizer } from './watch-tokenizer.ts'
import { createToLedger } from './to-ledger.ts'
import { createWorkers } from './workers.ts'

export interface GatewayParts {
  directory: Directory
  /** Certificate of the public HTTPS address. */
  httpsIdentity: Identity
  models: ReadonlyMap<string, ModelEntry>
}

/** How long a key to kept content may outlive its file in memory. */
const sweepMs = 60_000

/** The gateway over its peers: connects to them and opens the HTTPS front. */
export async function startGateway(context: ServiceContext, { directory, httpsIdentity, models }: GatewayParts): Promise<RunningService> {
  const { config, log, registry, telemetry, identity, clientCalls } = context
  const settings = config.gateway

  function connect(service: Service, peer: string, address: string, onStateChange?: (up: boolean) => void): LaneClient {
    return connectLane({ service, peer, address, identity, observer: clientCalls, log, ...(onStateChange === undefined ? {} : { onStateChange }) })
  }

  const admission = createAdmission({ maxConcurrent: settings.maxConcurrent, maxQueued: settings.maxQueued, queueTimeoutMs: settings.queueTimeoutSeconds * 1000 })
  const metrics = createMetrics(registry, admission)
  const audit = connectOneOf(settings.audit, (address, onStateChange) => connect(AuditService, 'audit', address, onStateChange))
  const version = packageVersion()
  const ledger = createToLedger({ audit, config, directory, version, metrics, log })
  const { records, refusals, receipts } = ledger
  const watched = watchTokenizer({ address: settings.tokenizer, onChange: ledger.serviceChanged })
  const tokenizer = connect(TokenizerService, 'tokenizer', settings.tokenizer, (up) => watched.changed(tokenizer, up))
  const workers = createWorkers({
    connect: (address, onStateChange) => connect(InferenceService, 'inference-worker', address, onStateChange),
    addresses: settings.workers,
    log,
    onChange({ address, model, version: own }, event) {
      const modelDigest = models.get(model)?.sha256 ?? ''
      ledger.serviceChanged({ service: ServiceKind.INFERENCE_WORKER, instance: address, event: event === 'joined' ? ServiceEvent.JOINED : ServiceEvent.LEFT, version: own, model: models.has(model) ? model : '', modelDigest })
    },
  })
  const dataKeys = createDataKeys({ folder: settings.contentKeyFolder, clock: Date.now, log })
  const sweeping = setInterval(() => void dataKeys.sweep(), sweepMs)
  const gateway: Gateway = {
    directory,
    models,
    descriptions: createModelDescriptions(tokenizer, (model) => workers.contextLength(model)),
    admission,
    records,
    refusals,
    receipts,
    keepContent: createKeepContent({ audit, dataKeys, log }),
    version,
    tokenizer,
    workers,
    telemetry,
    metrics,
    log,
    maxBodyBytes: settings.maxBodyBytes,
  }
  const front = await startHttp({
    host: settings.host,
    port: settings.port,
    identity: httpsIdentity,
    routes: createRoutes(gateway),
    bodyTimeoutMs: settings.bodyTimeoutSeconds * 1000,
    requestTimeoutMs: settings.requestTimeoutSeconds * 1000,
    log,
    onAnswer(route, status, seconds) {
      metrics.requests.inc({ route, status })
      metrics.seconds.observe({ route }, seconds)
    },
  })
  let draining = false

  return {
    ports: { https: front.port },
    ready: () => !draining && records.available && tokenizer.up && [...models.keys()].every((id) => workers.serves(id)),
    warning: () => (config.audit.onFailure === 'allow' ? unrecordedWarning(records.attached) : undefined),
    drain(limitMs) {
      draining = true
      return front.drain(limitMs)
    },
    async close() {
      front.close()
      clearInterval(sweeping)
      dataKeys.close()
      await ledger.leave()
      ledger.close()
      workers.close()
      tokenizer.close()
      audit.close()
      httpsIdentity.close()
      directory.close()
    },
  }
}

function unrecordedWarning(attached: boolean): string {
  const rule = 'audit.onFailure is allow: when the ledger can not be written, requests are answered without a record'
  return attached ? rule : `${rule}; IT CAN NOT BE REACHED NOW`
}
