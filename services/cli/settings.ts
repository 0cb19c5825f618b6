import { parseArgs } from 'node:util'
import type { Config } from '../shared/config/load.ts'

/** What `--home` and `--config` say, wherever they stand on the command line. */
export interface Place {
  env: NodeJS.ProcessEnv
  file: string | undefined
}

/** Reads only those two options: the command that is meant decides about all else later. */
export function placeOf(args: string[], env: NodeJS.ProcessEnv): Place {
  const { values } = parseArgs({ args, options: { home: { type: 'string' }, config: { type: 'string' } }, strict: false })
  const { home, config } = values
  return {
    env: typeof home === 'string' ? { ...env, INTRAMUROS_HOME: home } : env,
    file: typeof config === 'string' ? config : undefined,
  }
}

/** The configuration of that place, read at the first call. */
export function configOf({ env, file }: Place): () => Promise<Config> {
  let config: Promise<Config> | undefined
  return () => {
    config ??= import('../shared/config/load.ts').then(({ loadConfig }) => loadConfig({ env, file }))
    return config
  }
}
