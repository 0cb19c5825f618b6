#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { Command } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import type { AuditReader } from './audit-reader.ts'
import { fail } from './fail.ts'
import { type ProgramContext, createContext } from './context.ts'

/** Each command is a module of its own, loaded only when it is meant: a small one then starts quickly. */
const commands: Record<string, (program: Command, context: ProgramContext) => Promise<void>> = {
  start: async (program, context) => (await import('./commands/start.ts')).registerStart(program, context),
  status: async (program, context) => (await import('./commands/status.ts')).registerStatus(program, context),
  teams: async (program, context) => (await import('./commands/teams.ts')).registerTeams(program, context),
  keys: async (program, context) => (await import('./commands/keys.ts')).registerKeys(program, context),
  audit: async (program, context) => {
    const audit = (await import('./commands/audit.ts')).registerAudit(program, context)
    const { registerAuditReading } = await import('./commands/audit-reading.ts')
    registerAuditReading(audit, { ...context, openReader: (folder) => openReader(context, folder) })
  },
  content: async (program, context) => {
    const folders = { ...context, openReader: () => openReader(context, undefined), keyFolder: async () => (await import('../shared/content/key-folder.ts')).contentKeyFolder(context.config()) }
    const content = (await import('./commands/content-keys.ts')).registerContentKeys(program, folders)
    ;(await import('./commands/content-show.ts')).registerContentShow(content, folders)
  },
  usage: async (program, context) => (await import('./commands/usage.ts')).registerUsage(program, { ...context, openReader: (folder) => openReader(context, folder), prices: () => context.config().prices }),
  models: async (program, context) => (await import('./commands/models.ts')).registerModels(program, context),
  verify: async (program, context) => (await import('./commands/verify-isolation.ts')).registerVerifyIsolation(program, context),
  probe: async (program, context) => (await import('./commands/probe.ts')).registerProbe(program, context),
  config: async (program, context) => (await import('./commands/config.ts')).registerConfig(program, context),
}

async function openReader(context: ProgramContext, folder: string | undefined): Promise<AuditReader> {
  if (folder !== undefined) {
    const { openFolderReader } = await import('./folder-reader.ts')
    return openFolderReader(folder, { keyFile: `${context.config().audit.keyFolder}/log.pub`, err: context.err })
  }
  const { connectAuditReader, runningAudit } = await import('./audit-reader.ts')
  return connectAuditReader(runningAudit(context.home(), context.config()))
}

async function main(args: string[]): Promise<void> {
  const context = createContext(args, process.env)
  // Not before there is a state folder: a mistyped one must not come to be.
  if (existsSync(context.home())) enableCompileCache(join(context.home(), 'cache'))
  const program = new Command('intramuros')
    .description("Serves open large language models inside an organisation's own walls.")
    .version(packageJson.version)
    .option('--home <folder>', 'state folder (also: INTRAMUROS_HOME); default: intramuros in $XDG_STATE_HOME or ~/.local/state')
    .option('--config <file>', 'configuration file (also: INTRAMUROS_CONFIG); default: intramuros.yaml in the state folder')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
  const meant = args.find((arg) => Object.hasOwn(commands, arg))
  const wanted = meant === undefined ? Object.keys(commands) : [meant]
  for (const name of wanted) await commands[name]?.(program, context)
  await program.parseAsync(args, { from: 'user' })
}

// Whoever closed standard output (`| head`) does not want the rest; a platform that was started runs on.
process.stdout.on('error', () => undefined)
try {
  await main(process.argv.slice(2))
} catch (thrown) {
  fail(thrown)
}
