import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

/**
 * Program and arguments in front of a command that keep it on one core, 0 or 1: what is measured on the one, what asks it on the other.
 * Empty where that can't be done.
 */
export function pinnedTo(core: 0 | 1): string[] {
  if (availableParallelism() < 2 || spawnSync('taskset', ['-c', String(core), 'true']).status !== 0) return []
  return ['taskset', '-c', String(core)]
}
