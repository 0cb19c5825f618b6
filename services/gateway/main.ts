import { type Directory, openDirectory } from '../shared/directory/directory.ts'
import { DirectoryError } from '../shared/directory/directory-error.ts'
import { startBehindWalls } from '../shared/isolation/behind-walls.ts'
import { type RunningService, runService, type ServiceContext } from '../shared/lifecycle.ts'
import { ContentError } from '../shared/content/content-error.ts'
import { contentKeyFolder } from '../shared/content/key-folder.ts'
import { exitStatus, FatalStartError } from '../shared/supervision.ts'
import { servedModels } from '../shared/models/served.ts'
import { identityPlace, watchIdentity } from '../shared/tls/identity.ts'
import { requireSecondSwitch } from './allow-unrecorded.ts'
import { startGateway } from './gateway.ts'

await runService('gateway', (context) => startBehindWalls(context, start))

async function start(context: ServiceContext): Promise<RunningService> {
  const { config, log } = context
  if (config.audit.onFailure === 'allow') {
    requireSecondSwitch(process.env)
    log.warn({}, 'audit.onFailure is allow: when the ledger can not be written, requests are answered WITHOUT A RECORD')
  }
  requireSeparateKeys(config)
  return startGateway(context, {
    directory: config.gateway.directory === 'file' ? openExisting(config.home) : undefined,
    httpsIdentity: await watchIdentity({ ...(await identityPlace(config.tls.folder, 'https')), log }),
    models: new Map(servedModels(config).map((model) => [model.id, model])),
  })
}

function requireSeparateKeys(config: ServiceContext['config']): void {
  try {
    contentKeyFolder(config)
  } catch (thrown) {
    if (thrown instanceof ContentError) throw new FatalStartError(thrown.message, exitStatus.configuration)
    throw thrown
  }
}

function openExisting(home: string): Directory {
  try {
    return openDirectory({ home, readOnly: true })
  } catch (thrown) {
    if (thrown instanceof DirectoryError) throw new FatalStartError(thrown.message)
    throw thrown
  }
}
