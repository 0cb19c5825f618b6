import type { Command } from 'commander'
import { askDirectory, changeDirectory } from '../../audit/directory/use-directory.ts'
import type { TeamChanges } from '../../shared/directory/directory.ts'
import { type CommandContext, misused } from './context.ts'
import { table } from './table.ts'

/** Adds `teams add|set|list|remove` to the program. They work on a running platform, at once. */
export function registerTeams(program: Command, context: CommandContext): void {
  const { knownModels, out, err } = context
  const teams = program.command('teams').description('teams, and the models that each may use')

  teams
    .command('add')
    .description('add a team')
    .argument('<name>', 'lower-case letters, digits and "-"')
    .option('--models <ids>', 'the models that it may use, separated by commas, or "*" (default: every served one)')
    .option('--json', 'print JSON')
    .action(async (name: string, options: { models?: string; json?: true }, command: Command) => {
      const models = options.models === undefined ? [] : modelIds(command, options.models)
      // Without a list there is nothing to check, and no need of a configuration that may be broken.
      const known = models.length === 0 ? undefined : await knownModels()
      const team = await changeDirectory(context.directory(), (directory) => directory.addTeam(name, models, known))
      if (options.json) {
        out.write(`${JSON.stringify(team)}\n`)
        return
      }
      out.write(`Added team "${team.name}", which may use ${modelsText(team.models)}.\n`)
      err.write(`Make a key for it: intramuros keys create --team ${team.name}\n`)
    })

  teams
    .command('set')
    .description('change what holds for a team')
    .argument('<name>')
    .option('--unknown-parameters <refuse|ignore>', 'what becomes of request parameters that the API does not know; ignored ones are named in the header x-intramuros-ignored')
    .option('--weight <number>', "its share where teams wait for each other, from 0.001 to 1000; 2 is twice another's share (default of a new team: 1)")
    .option('--priority <interactive|batch>', "batch: its requests can wait for others' (default of a new team: interactive)")
    .option('--keep-content <key|off>', 'keep its prompts and answers, encrypted under this key (content keys create); off: keep none (default of a new team)')
    .option('--json', 'print JSON')
    .action(async (name: string, { json, ...options }: SetOptions & { json?: true }, command: Command) => {
      const changes = changesOf(command, options)
      const team = await changeDirectory(context.directory(), (directory) => directory.changeTeam(name, changes))
      if (json) out.write(`${JSON.stringify(team)}\n`)
      else out.write(`Team "${name}": unknown parameters are ${team.strictParameters ? 'refused' : 'ignored'}, weight ${team.weight}, priority ${priorityOf(team)}, content is ${team.contentKey === '' ? 'not kept' : `kept under the key "${team.contentKey}"`}.\n`)
    })

  teams
    .command('list')
    .description('list the teams')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const [keys, all] = await askDirectory(context.directory(), (directory) => [directory.listKeys(), directory.listTeams()] as const)
      const live = keys.filter((key) => key.revokedAt === undefined)
      const list = all.map(({ name, models, strictParameters, weight, batch, contentKey, createdAt }) => ({
        name,
        models,
        strictParameters,
        weight,
        batch,
        contentKey,
        createdAt,
        liveKeys: live.filter((key) => key.team === name).length,
      }))
      if (options.json) {
        out.write(`${JSON.stringify(list)}\n`)
        return
      }
      const rows = list.map((team) => [team.name, modelsText(team.models), team.strictParameters ? 'refused' : 'ignored', String(team.weight), priorityOf(team), team.contentKey, String(team.liveKeys), team.createdAt])
      out.write(table(['TEAM', 'MODELS', 'UNKNOWN PARAMETERS', 'WEIGHT', 'PRIORITY', 'KEEPS CONTENT UNDER', 'LIVE KEYS', 'CREATED'], rows, 'There are no teams.'))
    })

  teams
    .command('remove')
    .description('remove a team that has no live keys')
    .argument('<name>')
    .option('--force', 'revoke its live keys')
    .option('--json', 'print JSON')
    .action(async (name: string, options: { force?: true; json?: true }) => {
      const revoked = (await changeDirectory(context.directory(), (directory) => directory.removeTeam(name, { force: options.force ?? false }))).map((key) => key.id)
      if (options.json) out.write(`${JSON.stringify({ name, revoked })}\n`)
      else out.write(`Removed team "${name}"${revoked.length === 0 ? '' : ` and revoked ${revoked.join(', ')}`}.\n`)
    })
}

interface SetOptions {
  unknownParameters?: string
  weight?: string
  priority?: string
  keepContent?: string
}

function changesOf(command: Command, { unknownParameters, weight, priority, keepContent }: SetOptions): TeamChanges {
  if ([unknownParameters, weight, priority, keepContent].every((one) => one === undefined)) misused(command, 'Nothing is to be changed: give --unknown-parameters, --weight, --priority or --keep-content.')
  // An empty shell variable must not turn it off.
  if (keepContent === '') misused(command, '--keep-content takes the name of a key, or "off".')
  if (unknownParameters !== undefined && unknownParameters !== 'refuse' && unknownParameters !== 'ignore') misused(command, '--unknown-parameters takes "refuse" or "ignore".')
  if (priority !== undefined && priority !== 'interactive' && priority !== 'batch') misused(command, '--priority takes "interactive" or "batch".')
  const number = weight === undefined || weight.trim() === '' ? Number.NaN : Number(weight)
  if (weight !== undefined && !Number.isFinite(number)) misused(command, '--weight takes a number from 0.001 to 1000.')
  return {
    ...(unknownParameters === undefined ? {} : { strictParameters: unknownParameters === 'refuse' }),
    ...(weight === undefined ? {} : { weight: number }),
    ...(priority === undefined ? {} : { batch: priority === 'batch' }),
    ...(keepContent === undefined ? {} : { contentKey: keepContent === 'off' ? '' : keepContent }),
  }
}

function priorityOf({ batch }: { batch: boolean }): string {
  return batch ? 'batch' : 'interactive'
}

/** Empty for "*". A list without ids is no list: an empty shell variable must not give a team every model. */
function modelIds(command: Command, list: string): string[] {
  if (list.trim() === '*') return []
  const ids = list.split(',').map((id) => id.trim()).filter((id) => id !== '')
  return ids.length === 0 ? misused(command, '--models names no model; leave it out, or give "*", for every served one.') : ids
}

function modelsText(models: readonly string[]): string {
  return models.length === 0 ? 'every served model' : models.join(', ')
}
