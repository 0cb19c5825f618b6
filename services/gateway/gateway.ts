import { AuditService, ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import { DirectoryService } from '../../proto/gen/intramuros/v1/directory.ts'
import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Directory, KeyCheck } from '../shared/directory/directory.ts'
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
import { createMetrics } from './metrics.ts'
import { createModelDescriptions } from './model-descriptions.ts'
import { createLaneSet } from './peers/lane-set.ts'
import { followDirectory, type RemoteDirectory } from './peers/remote-directory.ts'
import { watchKubernetes } from './peers/watch-kubernetes.ts'
import type { Gateway } from './recorded.ts'
import { isReady } from './readiness.ts'
import { createRoutes } from './routes.ts'
import { watchTokenizer } from './watch-tokenizer.ts'
import { createToLedger } from './to-ledger.ts'
import { createWorkers } from './workers.ts'

export interface GatewayParts {
  /** Undefined: the audit service has it. */
  directory: Directory | undefined
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

  function followKeys(): { keys: KeyCheck; remote: RemoteDirectory } {
    const followed = followDirectory({ connect: (address) => connect(DirectoryService, 'audit', address), addresses: settings.audit, log })
    return { keys: followed, remote: followed }
  }

  const admission = createAdmission({ maxConcurrent: settings.maxConcurrent, maxQueued: settings.maxQueued, queueTimeoutMs: settings.queueTimeoutSeconds * 1000 })
  const metrics = createMetrics(registry, admission)
  const audit = createLaneSet({ peer: 'audit', connect: (address) => connect(AuditService, 'audit', address), addresses: settings.audit, calls: 'one' })
  const version = packageVersion()
  const ledger = createToLedger({ audit, config, directory, version, metrics, log })
  const { records, refusals, receipts } = ledger
  const tokenizer = createLaneSet({
    peer: 'tokenizer',
    connect(address) {
      const watched = watchTokenizer({ address, onChange: ledger.serviceChanged })
      const lane = connect(TokenizerService, 'tokenizer', address, (up) => watched.changed(lane, up))
      return lane
    },
    addresses: listOf(settings.tokenizer),
    calls: 'spread',
  })
  const { keys, remote } = directory === undefined ? followKeys() : { keys: directory, remote: undefined }
  const workers = createWorkers({
    connect: (address, onStateChange) => connect(InferenceService, 'inference-worker', address, onStateChange),
    addresses: settings.workers,
    log,
    onChange({ address, model, version: own }, event) {
      const modelDigest = models.get(model)?.sha256 ?? ''
      ledger.serviceChanged({ service: ServiceKind.INFERENCE_WORKER, instance: address, event: event === 'joined' ? ServiceEvent.JOINED : ServiceEvent.LEFT, version: own, model: models.has(model) ? model : '', modelDigest })
    },
  })
  const { namespace, selector } = settings.kubernetes
  const discovery =
    namespace === ''
      ? undefined
      : await watchKubernetes({
          namespace,
          selector,
          log,
          onPeers(peers) {
            audit.set(peers.audit)
            remote?.set(peers.audit)
            tokenizer.set(peers.tokenizer)
            workers.set(peers.workers)
          },
        })
  const dataKeys = createDataKeys({ folder: settings.contentKeyFolder, clock: Date.now, log })
  const sweeping = setInterval(() => void dataKeys.sweep(), sweepMs)
  const gateway: Gateway = {
    keys,
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
    drainDelayMs: settings.drainDelaySeconds * 1000,
    log,
    onAnswer(route, status, seconds) {
      metrics.requests.inc({ route, status })
      metrics.seconds.observe({ route }, seconds)
    },
  })
  let draining = false

  return {
    ports: { https: front.port },
    ready: () =>
      isReady({
        draining,
        recording: records.available,
        directoryKnown: remote?.known !== false,
        tokenizerUp: tokenizer.up,
        models: models.keys(),
        serves: (model) => workers.serves(model),
        inCluster: namespace !== '',
      }),
    warning: () => (config.audit.onFailure === 'allow' ? unrecordedWarning(records.attached) : undefined),
    drain(limitMs) {
      draining = true
      return front.drain(limitMs)
    },
    async close() {
      front.close()
      await discovery?.close()
      clearInterval(sweeping)
      dataKeys.close()
      await ledger.leave()
      ledger.close()
      workers.close()
      tokenizer.close()
      audit.close()
      httpsIdentity.close()
      keys.close()
    },
  }
}

function listOf(address: string): string[] {
  return address === '' ? [] : [address]
}

function unrecordedWarning(attached: boolean): string {
  const rule = 'audit.onFailure is allow: when the ledger can not be written, requests are answered without a record'
  return attached ? rule : `${rule}; IT CAN NOT BE REACHED NOW`
}
