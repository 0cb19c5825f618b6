import { directoryPlace } from '../../services/audit/directory/place.ts'
import { changeDirectory } from '../../services/audit/directory/use-directory.ts'
import type { Config } from '../../services/shared/config/schema.ts'
import { openDirectory } from '../../services/shared/directory/directory.ts'
import { ensureFirstTeam, firstTeam } from '../../services/shared/directory/first-team.ts'
import { exitStatus } from '../../services/shared/supervision.ts'
import { StartError } from './start-error.ts'

/** The gateway only reads the directory, so it has to be there before it, with its first team; where it is in a database, the audit service makes it. Throws StartError. */
export function makeDirectory({ home, audit, gateway }: Config): void {
  if (directoryPlace(audit) !== undefined) {
    if (gateway.directory === 'file') throw new StartError('With audit.directory and audit.postgres.url teams and keys are in the database, where the gateway does not look for them: set gateway.directory to audit.', { status: exitStatus.configuration })
    return
  }
  const directory = openDirectory({ home })
  try {
    ensureFirstTeam(directory)
  } finally {
    directory.close()
  }
}

/**
 * The first team's first key, made now if that team never had one; undefined otherwise. Made only when it can be
 * shown at once: after a start that failed the next one still has a key to show.
 */
export async function firstKey({ home, audit }: Config): Promise<string | undefined> {
  return await changeDirectory({ home, place: directoryPlace(audit) }, (directory) => {
    const wanted = directory.listTeams().some(({ name }) => name === firstTeam) && directory.listKeys(firstTeam).length === 0
    return wanted ? directory.createKey(firstTeam, 'first').secret : undefined
  })
}
