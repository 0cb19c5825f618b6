import type { Directory } from './directory.ts'

export const firstTeam = 'default'

/** Makes the first team where there has been none yet. */
export function ensureFirstTeam(directory: Directory): void {
  if (directory.listTeams().length === 0 && directory.listKeys().length === 0) directory.addTeam(firstTeam, [])
}
