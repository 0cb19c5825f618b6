import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { directoryPlace } from '../audit/directory/place.ts'
import type { DirectorySource } from '../audit/directory/use-directory.ts'
import { postgresSettings } from '../audit/store/postgres/settings.ts'
import { ConfigError } from '../shared/config/config-error.ts'
import { type Config, loadConfig, stateFolder } from '../shared/config/load.ts'
import type { CommandContext } from './commands/context.ts'

/**
 * What commands work on. Nothing is read before it is asked for: commands that don't need the configuration work
 * beside a broken one.
 */
export interface ProgramContext extends CommandContext {
  env: NodeJS.ProcessEnv
  /** State folder. */
  home(): string
  /** Configuration file that was named. */
  file: string | undefined
  config(): Config
}

/** Takes `--home` and `--config` from wherever they stand on the command line; commander checks the whole of it later. */
export function createContext(args: string[], environment: NodeJS.ProcessEnv): ProgramContext {
  const { values } = parseArgs({ args, options: { home: { type: 'string' }, config: { type: 'string' } }, strict: false })
  const env = typeof values['home'] === 'string' ? { ...environment, INTRAMUROS_HOME: values['home'] } : environment
  const file = typeof values['config'] === 'string' ? values['config'] : undefined

  const config = (): Config => loadConfig({ env, file })

  function directory(): DirectorySource {
    const home = stateFolder(env)
    try {
      return { home, place: directoryPlace(config().audit) }
    } catch (thrown) {
      if (!(thrown instanceof ConfigError && existsSync(join(home, 'directory.sqlite')))) throw thrown
      // A key has to be revoked beside a broken one too.
      process.stderr.write(`The configuration is broken ("intramuros config check" tells how): teams and keys are taken to be those of the files in ${home}.\n`)
      return { home, place: undefined }
    }
  }

  return {
    env,
    file,
    config,
    home: () => stateFolder(env),
    directory,
    async knownModels() {
      const { catalogueOf } = await import('../shared/models/catalogue.ts')
      return [...catalogueOf(config().models).keys()]
    },
    auditFolder: () => config().audit.folder,
    auditPostgres: () => postgresSettings(config().audit.postgres)?.settings,
    auditKeyFile: () => join(config().audit.keyFolder, 'log.pub'),
    out: process.stdout,
    err: process.stderr,
  }
}
