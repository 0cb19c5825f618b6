import { type Command, Option } from 'commander'
import type { ProgramContext } from '../context.ts'

interface StartFlags {
  host?: string
  port?: string
  model?: string[]
  drainSeconds?: string
  logLevel?: string
  logFormat?: string
}

/** `start`, which is also what no command means. */
export function registerStart(program: Command, { env, file }: ProgramContext): void {
  program
    .command('start')
    .description('start the platform on its state folder and stay until Ctrl-C')
    .option('--host <address>', 'address that HTTPS is served on (gateway.host; default 127.0.0.1)')
    .option('--port <number>', 'port that HTTPS is served on, 0: any free one (gateway.port; default 8443)')
    .option('--model <id...>', 'models to serve, one worker each (serve; default smollm2-135m-instruct)')
    .option('--drain-seconds <number>', 'when stopping, how long requests may take to end (drainSeconds; default 20)')
    .addOption(new Option('--log-level <level>', 'least level that is logged (log.level; default info)'))
    .addOption(new Option('--log-format <format>', 'auto, pretty or json (log.format; default auto)'))
    .addHelpText(
      'after',
      `
Everything else is set in intramuros.yaml in the state folder, which the first start makes with every setting
explained, or by environment variables such as INTRAMUROS_GATEWAY_PORT. All of them: docs/configuration.md. An option
wins over a variable, which wins over the file.`,
    )
    .action(async ({ host, port, model, drainSeconds, logLevel, logFormat }: StartFlags) => {
      const { start } = await import('../../../deploy/local/start.ts')
      const overrides = {
        'gateway.host': host,
        'gateway.port': port,
        serve: model,
        drainSeconds,
        'log.level': logLevel,
        'log.format': logFormat,
      }
      // Handles of libraries and a blocked terminal must not keep a stopped platform from ending.
      process.exit(await start({ env, file, overrides }))
    })
}
