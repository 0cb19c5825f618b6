import { InferenceService } from '../../proto/gen/intramuros/v1/inference.ts'
import type { RunningService, ServiceContext } from '../shared/lifecycle.ts'
import { serveRpc } from '../shared/rpc/serve.ts'
import type { Engine } from './engines/engine.ts'
import { createMetrics } from './metrics.ts'
import { createInferenceService } from './service.ts'

/** How often a free engine must show that it still answers. */
const probeIntervalMs = 30_000

/** The inference service over an engine, whichever it is. */
export async function serveEngine({ config, log, registry, identity, serverCalls, atRisk }: ServiceContext, engine: Engine): Promise<RunningService> {
  const { listen, maxQueued, queueTimeoutSeconds, stepTimeoutSeconds } = config.inferenceWorker
  const service = createInferenceService({
    engine,
    options: { maxQueued, queueTimeoutMs: queueTimeoutSeconds * 1000, stepTimeoutMs: stepTimeoutSeconds * 1000, probeIntervalMs },
    log,
    metrics: createMetrics(registry),
    // Native code that does not return can only be ended with its process, and exit() would wait for it. The launcher starts another.
    onHang() {
      atRisk(`A decode step did not end within ${stepTimeoutSeconds} s, so the worker killed itself to be started again.`)
      log.flush()
      process.kill(process.pid, 'SIGKILL')
    },
  })
  const server = await serveRpc({
    service: InferenceService,
    handlers: { generate: service.generate, embed: service.embed, rank: service.rank, watch: service.watch },
    identity,
    listen,
    callers: ['gateway'],
    observer: serverCalls,
    log,
  })
  return {
    ports: { grpc: server.port },
    ready: () => service.ready(),
    async drain(limitMs) {
      await service.drain(AbortSignal.timeout(limitMs))
      await server.close(1000)
    },
    close: () => service.close(),
  }
}
