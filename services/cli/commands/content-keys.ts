import type { Command } from 'commander'
import { askDirectory, changeDirectory } from '../../audit/directory/use-directory.ts'
import { StoreError } from '../../audit/store/store.ts'
import { createTeamKey, readTeamKey, removeTeamKey, type TeamKey } from '../../shared/content/team-key.ts'
import { ContentError } from '../../shared/content/content-error.ts'
import type { ContentKey } from '../../shared/directory/content-keys.ts'
import { DirectoryError } from '../../shared/directory/directory-error.ts'
import type { Directory } from '../../shared/directory/directory.ts'
import { unknownTeam } from '../../shared/directory/names.ts'
import type { CommandContext } from './context.ts'
import { table } from './table.ts'

export interface ContentKeysContext extends Pick<CommandContext, 'directory' | 'out' | 'err'> {
  /** Folder of the keys; empty: none is set. Throws a ContentError. */
  keyFolder(): Promise<string>
}

/** Adds `content keys create|list|destroy` to the program, and answers with `content`. */
export function registerContentKeys(program: Command, context: ContentKeysContext): Command {
  const { keyFolder, out, err } = context
  const content = program.command('content').description('prompts and answers that teams have kept, encrypted: docs/content.md')
  const keys = content.command('keys').description("the teams' keys to it")

  keys
    .command('create')
    .description('make a key, or make one known that is in gateway.contentKeyFolder already, for example from a Kubernetes Secret')
    .argument('<name>', 'name of its file without ".key": lower-case letters, digits and "-"')
    .requiredOption('--team <name>', 'the team that it is for, alone')
    .option('--json', 'print JSON')
    .action(async (name: string, { team, json }: { team: string; json?: true }) => {
      const folder = required(await keyFolder())
      // Before a file is made that would be in the way later.
      await askDirectory(context.directory(), (directory) => requireNew(directory, name, team))
      const { key, made } = await readOrMake(folder, name)
      let added: ContentKey
      try {
        added = await changeDirectory(context.directory(), (directory) => directory.addContentKey({ name, team, keyId: key.id }))
      } catch (thrown) {
        if (made && !mayHaveBeenDone(thrown)) await removeTeamKey(folder, name)
        throw thrown
      } finally {
        key.bytes.fill(0)
      }
      if (json) out.write(`${JSON.stringify(plain(added))}\n`)
      else out.write(`${made ? 'Made' : 'Found'} key ${added.keyId} for team "${team}" in ${folder}. Keep a copy where no backup of the platform has it, or none.\n`)
      err.write(`Have the team's content kept under it: intramuros teams set ${team} --keep-content ${name}\n`)
    })

  keys
    .command('list')
    .description('list the keys, destroyed ones too')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const list = await askDirectory(context.directory(), (directory) => directory.listContentKeys())
      if (json) out.write(`${JSON.stringify(list.map(plain))}\n`)
      else out.write(table(['ID', 'TEAM', 'CREATED', 'DESTROYED'], list.map((key) => [key.keyId, key.team, key.createdAt, key.destroyedAt ?? '']), 'There are no content keys.'))
    })

  keys
    .command('destroy')
    .description('erase all that was kept under a key, for good, by destroying it; no team may use it any more')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, { json }: { json?: true }) => {
      const folder = required(await keyFolder())
      const key = await changeDirectory(context.directory(), (directory) => directory.destroyContentKey(name))
      const removed = await removeTeamKey(folder, name)
      if (json) out.write(`${JSON.stringify(plain(key))}\n`)
      else out.write(`Destroyed key ${key.keyId} of team "${key.team}"${removed ? '' : ', whose file was gone already'}. What was kept under it can be read by nobody who has no copy of the key; the audit service deletes it.\n`)
      err.write('Copies of the key that you made (a Secret, a backup of it) must be destroyed too.\n')
    })

  return content
}

function required(folder: string): string {
  if (folder === '') throw new ContentError('gateway.contentKeyFolder is not set: it says in which folder the keys are. See docs/content.md.')
  return folder
}

function requireNew(directory: Directory, name: string, team: string): void {
  const known = directory.listContentKeys().find((key) => key.name === name)
  if (known !== undefined) throw new DirectoryError(`There is or was a content key "${name}", of team "${known.team}": each gets a name of its own.`)
  const teams = directory.listTeams().map((one) => one.name)
  if (!teams.includes(team)) throw unknownTeam(team, teams)
}

async function readOrMake(folder: string, name: string): Promise<{ key: TeamKey; made: boolean }> {
  try {
    return { key: await createTeamKey(folder, name), made: true }
  } catch (thrown) {
    // There already, or in a folder that can't be written: a mounted Secret.
    const key = await readTeamKey(folder, name).catch(() => undefined)
    if (key === undefined) throw thrown
    return { key, made: false }
  }
}

/** The database's answer to the commit was lost: without the key's file, what may know it now could never use it. */
function mayHaveBeenDone(thrown: unknown): boolean {
  return thrown instanceof DirectoryError && thrown.cause instanceof StoreError && thrown.cause.stored === 'unknown'
}

/** With the same fields for each. */
function plain({ keyId, name, team, createdAt, destroyedAt }: ContentKey): Record<string, string | null> {
  return { id: keyId, name, team, createdAt, destroyedAt: destroyedAt ?? null }
}
