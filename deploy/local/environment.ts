import { join } from 'node:path'
import { fieldsOf } from '../../services/shared/config/fields.ts'
import type { Overrides } from '../../services/shared/config/overrides.ts'
import { type Config, configSchema } from '../../services/shared/config/schema.ts'

/** The environment in which every service finds the same configuration as the launcher. */
export function childEnvironment(config: Config, overrides: Overrides, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const variables = new Map(fieldsOf(configSchema).map(({ path, variable }) => [path, variable]))
  const set = Object.entries(overrides).flatMap(([path, value]) => {
    const variable = variables.get(path)
    return variable === undefined || value === undefined ? [] : [[variable, String(value)]]
  })
  return {
    ...env,
    ...Object.fromEntries(set),
    INTRAMUROS_HOME: config.home,
    INTRAMUROS_CONFIG: config.file,
    // Compiled code is kept in the state folder: a service then starts in half the time.
    NODE_COMPILE_CACHE: join(config.home, 'cache'),
  }
}
