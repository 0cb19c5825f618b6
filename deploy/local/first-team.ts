import { openDirectory } from '../../services/shared/directory/directory.ts'

export const firstTeam = 'default'

/**
 * Makes the first team where there has been none yet. The services only read the directory, so it has to be there
 * before them.
 */
export function ensureFirstTeam(home: string): void {
  const directory = openDirectory({ home })
  try {
    if (directory.listTeams().length === 0 && directory.listKeys().length === 0) directory.addTeam(firstTeam, [])
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
