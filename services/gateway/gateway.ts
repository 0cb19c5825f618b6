import { AuditService } from '../../proto/gen/intramuros/v1/audit.ts'
import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Directory } from '../shared/directory/directory.ts'
import type { RunningService, ServiceContext } from '../shared/lifecycle.ts'
import type { ModelEntry } from '../shared/models/catalogue.ts'
import { connectLane, type LaneClient } from '../shared/rpc/lane-client.ts'
import type { Service } from '../shared/rpc/methods.ts'
import type { Identity } from '../shared/tls/identity.ts'
import { createAdmission } from './admission.ts'
import { startHttp } from './http/server.ts'
import { createMetrics } from './metrics.ts'
import { createModelDescriptions } from './model-descriptions.ts'
import type { Gateway } from './recorded.ts'
import { createRecords } from './records.ts'
import { createRoutes } from './routes.ts'
import { createWorkers } from './workers.ts'

export interface GatewayParts {
  directory: Directory
  /** Certificate of the public HTTPS address. */
  httpsIdentity: Identity
  models: ReadonlyMap<string, ModelEntry>
}

/** The gateway over its peers: connects to them and opens the HTTPS front. */
export async function startGateway(context: ServiceContext, { directory, httpsIdentity, models }: GatewayParts): Promise<RunningService> {
  const { config, log, registry, telemetry, identity, clientCalls } = context
  const settings = config.gateway

  function connect(service: Service, peer: string, address: string, onStateChange?: (up: boolean) => void): LaneClient {
    return connectLane({ service, peer, address, identity, observer: clientCalls, log, ...(onStateChange === undefined ? {} : { onStateChange }) })
  }

  const admission = createAdmission({ maxConcurrent: settings.maxConcurrent, maxQueued: settings.maxQueued, queueTimeoutMs: settings.queueTimeoutSeconds * 1000 })
  const metrics = createMetrics(registry, admission)
  const audit = connect(AuditService, 'audit', settings.audit)
  const tokenizer = connect(TokenizerService, 'tokenizer', settings.tokenizer)
  const records = createRecords({ audit, instance: settings.instance, endTimeoutMs: config.audit.endTimeoutSeconds * 1000, log })
  const workers = createWorkers({
    connect: (address, onStateChange) => connect(InferenceService, 'inference-worker', address, onStateChange),
    addresses: settings.workers,
    log,
  })
  const gateway: Gateway = {
    directory,
    models,
    descriptions: createModelDescriptions(tokenizer, (model) => workers.contextLength(model)),
    admission,
    records,
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
    drain(limitMs) {
      draining = true
      return front.drain(limitMs)
    },
    async close() {
      front.close()
      records.close()
      workers.close()
      tokenizer.close()
      audit.close()
      httpsIdentity.close()
      directory.close()
    },
  }
}
