import type { Command } from 'commander'
import { askDirectory, changeDirectory } from '../../audit/directory/use-directory.ts'
import { DirectoryError } from '../../shared/directory/directory-error.ts'
import type { ApiKey, Directory } from '../../shared/directory/directory.ts'
import { type CommandContext, misused } from './context.ts'
import { table } from './table.ts'

/** Adds `keys create|list|revoke` to the program. They work on a running platform, at once. */
export function registerKeys(program: Command, context: CommandContext): void {
  const { out, err } = context
  const keys = program.command('keys').description('API keys of the teams')

  keys
    .command('create')
    .description('make a key and show it, once: it alone goes to standard output, as in KEY=$(intramuros keys create --team x)')
    .requiredOption('--team <name>', 'the team that it is for')
    .option('--label <text>', 'what it is for, to tell it from others')
    .option('--json', 'print JSON')
    .action(async (options: { team: string; label?: string; json?: true }) => {
      const key = await changeDirectory(context.directory(), (directory) => directory.createKey(options.team, options.label))
      if (options.json) {
        out.write(`${JSON.stringify({ ...plain(key), secret: key.secret })}\n`)
        return
      }
      err.write(`Made key ${key.id} for team "${key.team}". It is shown only now: keep it where secrets are kept.\n`)
      out.write(`${key.secret}\n`)
    })

  keys
    .command('list')
    .description('list the keys, revoked ones too')
    .option('--team <name>', 'only those of this team')
    .option('--json', 'print JSON')
    .action(async (options: { team?: string; json?: true }) => {
      const list = await askDirectory(context.directory(), (directory) => directory.listKeys(options.team))
      if (options.json) {
        out.write(`${JSON.stringify(list.map(plain))}\n`)
        return
      }
      const rows = list.map((key) => [key.id, key.team, key.label ?? '', key.createdAt, key.revokedAt ?? ''])
      out.write(table(['ID', 'TEAM', 'LABEL', 'CREATED', 'REVOKED'], rows, 'There are no keys.'))
    })

  keys
    .command('revoke')
    .description('revoke keys by their ids, or all of a team')
    .argument('[ids...]', 'as "keys list" shows them')
    .option('--team <name>', 'the team that the keys must belong to')
    .option('--all', 'all live keys of --team')
    .option('--json', 'print JSON')
    .action(async (ids: string[], options: { team?: string; all?: true; json?: true }, command: Command) => {
      const { team } = options
      if (options.all && (team === undefined || ids.length > 0)) misused(command, '--all goes with --team, and without ids.')
      if (!options.all && ids.length === 0) misused(command, 'give the ids of the keys to revoke, or --team and --all.')
      const revoked = await changeDirectory(context.directory(), (directory) => {
        const chosen = options.all ? liveKeys(directory, team) : ids
        if (team !== undefined) requireOwner(directory, team, chosen)
        return chosen.map((id) => directory.revokeKey(id))
      })
      if (options.json) {
        out.write(`${JSON.stringify(revoked.map(plain))}\n`)
        return
      }
      for (const key of revoked) out.write(`Key ${key.id} of team "${key.team}" is revoked since ${key.revokedAt}.\n`)
      if (revoked.length === 0) err.write('There was no live key to revoke.\n')
    })
}

function liveKeys(directory: Directory, team: string | undefined): string[] {
  return directory.listKeys(team).filter((key) => key.revokedAt === undefined).map((key) => key.id)
}

/** Revokes none when one of them is another team's. */
function requireOwner(directory: Directory, team: string, ids: readonly string[]): void {
  const own = new Set(directory.listKeys(team).map((key) => key.id))
  if (ids.every((id) => own.has(id))) return
  throw new DirectoryError(`Not all of these keys belong to team "${team}"; none was revoked.`)
}

/** What may be printed of a key, with the same fields for each. */
function plain(key: ApiKey): Record<string, string | null> {
  return { id: key.id, team: key.team, label: key.label ?? null, createdAt: key.createdAt, revokedAt: key.revokedAt ?? null }
}
