import { openDirectory } from '../../services/shared/directory/directory.ts'
import { ensureFirstTeam, firstTeam } from '../../services/shared/directory/first-team.ts'

/** The services only read the directory, so it has to be there before them, with its first team. */
export function makeDirectory(home: string): void {
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
export function firstKey(home: string): string | undefined {
  const directory = openDirectory({ home })
  try {
    const wanted = directory.listTeams().some(({ name }) => name === firstTeam) && directory.listKeys(firstTeam).length === 0
    return wanted ? directory.createKey(firstTeam, 'first').secret : undefined
  } finally {
    directory.close()
  }
}
