import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { startBehindWalls } from '../shared/isolation/behind-walls.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { exitStatus, FatalStartError } from '../shared/supervision.ts'
import { createModelOpener, type OpenedModel } from '../shared/models/open-model.ts'
import { servedModels } from '../shared/models/served.ts'
import { serveRpc } from '../shared/rpc/serve.ts'
import { createMetrics } from './metrics.ts'
import { ModelLoadError } from './model.ts'
import { createTokenizerService, type TokenizerService as Service } from './service.ts'

await runService('tokenizer', (context) => startBehindWalls(context, start))

async function start({ config, log, registry, identity, serverCalls, atRisk }: ServiceContext): Promise<RunningService> {
  const { contextLength } = config.inferenceWorker
  const openModel = createModelOpener({ config, env: process.env, log })
  const opened: ({ id: string } & OpenedModel)[] = []
  // One after the other: each may take a whole core for its decryption.
  for (const entry of servedModels(config)) opened.push({ id: entry.id, ...(await openModel(entry, 'vocabulary')) })
  atRisk(`It died while reading the vocabulary of ${opened.map(({ source }) => source).join(', ')}: a file is damaged, or of a kind that llama.cpp fails on.`)
  const service = await load()
  for (const { close } of opened) await close()
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
      const models = opened.map(({ id, path }) => ({ id, path, contextLength: contextLength || undefined }))
      return await createTokenizerService({ models, log, metrics: createMetrics(registry) })
    } catch (thrown) {
      // The file won't get better by trying again.
      if (thrown instanceof ModelLoadError) throw new FatalStartError(thrown.message, exitStatus.badData)
      throw thrown
    }
  }
}
