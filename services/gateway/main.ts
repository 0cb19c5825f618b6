import { openDirectory } from '../shared/directory/directory.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { servedModels } from '../shared/models/served.ts'
import { watchIdentity } from '../shared/tls/identity.ts'
import { startGateway } from './gateway.ts'

await runService('gateway', start)

async function start(context: ServiceContext): Promise<RunningService> {
  const { config, log } = context
  return startGateway(context, {
    directory: openDirectory({ home: config.home }),
    httpsIdentity: await watchIdentity({ file: `${config.tls.folder}/https.pem`, caFile: `${config.tls.folder}/ca.crt`, log }),
    models: new Map(servedModels(config).map((model) => [model.id, model])),
  })
}
