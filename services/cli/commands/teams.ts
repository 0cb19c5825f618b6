import type { Command } from 'commander'
import { openDirectory } from '../../shared/directory/directory.ts'
import { type CommandContext, misused, refusing } from './context.ts'
import { table } from './table.ts'

/** Adds `teams add|list|remove` to the program. They work on a running platform, at once. */
export function registerTeams(program: Command, { home, knownModels, out, err }: CommandContext): void {
  const teams = program.command('teams').description('the teams that may use the platform')

  teams
    .command('add')
    .description('add a team')
    .argument('<name>', 'lower-case letters, digits and "-"')
    .option('--models <ids>', 'the models that it may use, separated by commas (default: every served one)')
    .option('--json', 'print JSON')
    .action((name: string, options: { models?: string; json?: true }, command: Command) =>
      refusing(command, async () => {
        const models = options.models === undefined ? [] : modelIds(command, options.models)
        const known = await knownModels()
        using directory = open(home())
        const team = directory.addTeam(name, models, known)
        if (options.json) out.write(`${JSON.stringify(team)}\n`)
        else {
          out.write(`Added team "${team.name}", which may use ${modelsText(team.models)}.\n`)
          err.write(`Make a key for it: intramuros keys create --team ${team.name}\n`)
        }
      }),
    )

  teams
    .command('list')
    .description('list the teams')
    .option('--json', 'print JSON')
    .action((options: { json?: true }, command: Command) =>
      refusing(command, () => {
        using directory = open(home(), true)
        const liveKeys = new Map<string, number>()
        for (const key of directory.listKeys()) if (key.revokedAt === undefined) liveKeys.set(key.team, (liveKeys.get(key.team) ?? 0) + 1)
        const list = directory.listTeams().map((team) => ({ ...team, liveKeys: liveKeys.get(team.name) ?? 0 }))
        if (options.json) out.write(`${JSON.stringify(list)}\n`)
        else {
          const rows = list.map((team) => [team.name, modelsText(team.models), String(team.liveKeys), team.createdAt])
          out.write(table(['TEAM', 'MODELS', 'LIVE KEYS', 'CREATED'], rows, 'There are no teams.'))
        }
      }),
    )

  teams
    .command('remove')
    .description('remove a team')
    .argument('<name>')
    .option('--force', 'revoke its live keys as well')
    .option('--json', 'print JSON')
    .action((name: string, options: { force?: true; json?: true }, command: Command) =>
      refusing(command, () => {
        using directory = open(home())
        const revoked = directory.removeTeam(name, { force: options.force ?? false }).map((key) => key.id)
        if (options.json) out.write(`${JSON.stringify({ name, revoked })}\n`)
        else out.write(`Removed team "${name}"${revoked.length === 0 ? '' : ` and revoked ${revoked.join(', ')}`}.\n`)
      }),
    )
}
