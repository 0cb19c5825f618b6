import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { exitStatus, FatalStartError } from '../shared/supervision.ts'
import { modelPath, servedModels } from '../shared/models/served.ts'
import { serveRpc } from '../shared/rpc/serve.ts'
import { createMetrics } from './metrics.ts'
import { ModelLoadError } from './model.ts'
import { createTokenizerService, type TokenizerService as Service } from './service.ts'

await runService('tokenizer', start)

async function start({ config, log, registry, identity, serverCalls, atRisk }: ServiceContext): Promise<RunningService> {
  const { contextLength } = config.inferenceWorker
  const models = await Promise.all(
    servedModels(config).map(async (entry) => ({ id: entry.id, path: await modelPath(entry, config.home), contextLength: contextLength || undefined })),
  )
  atRisk(`It died while reading the vocabulary of ${models.map(({ path }) => path).join(', ')}: a file is damaged, or of a kind that llama.cpp fails on.`)
  const service = await load()
  const server = await serveRpc({
    service: TokenizerService,
    handlers: service.handlers,
    identity,
    listen: config.tokenizer.listen,
    callers: ['gateway'],
    observer: serverCalls,
    log,
  })
  return {
    ports: { grpc: server.port },
    ready: () => service.ready(),
    drain: (limitMs) => server.close(limitMs),
    close: () => service.close(),
  }

  async function load(): Promise<Service> {
    try {
      return await createTokenizerService({ models, log, metrics: createMetrics(registry) })
    } catch (thrown) {
      // The file won't get better by trying again.
      if (thrown instanceof ModelLoadError) throw new FatalStartError(thrown.message, exitStatus.badData)
      throw thrown
    }
  }
}
