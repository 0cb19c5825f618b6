import type { Command } from 'commander'
import { stringify } from 'yaml'
import type { ProgramContext } from '../context.ts'

export function registerConfig(program: Command, { config, out }: ProgramContext): void {
  const group = program.command('config').description('the configuration file and variables')

  group
    .command('check')
    .description('check all settings; tells every problem at once (exit status 1)')
    .action(() => {
      out.write(`The configuration is valid: ${config().file}\n`)
    })

  group
    .command('show')
    .description('show all settings as they are in force, and where each was set that is not left at its default')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) => {
      const { origins, home, file, ...settings } = config()
      if (json === true) {
        out.write(`${JSON.stringify({ home, file, settings, origins })}\n`)
        return
      }
      out.write(`# State folder: ${home}\n# File: ${file}\n${stringify(settings)}`)
      for (const [path, origin] of Object.entries(origins)) out.write(`# ${path} is set by ${origin}\n`)
    })

  group
    .command('schema')
    .description('print the JSON Schema of the configuration file')
    .action(async () => {
      const { configJsonSchema } = await import('../../shared/config/json-schema.ts')
      out.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`)
    })
}
