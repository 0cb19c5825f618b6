import { join } from 'node:path'
import { cgroupFolders, type CgroupFolder, read } from './cgroups.ts'

export interface Memory {
  /** Bytes that can be had now without anybody's being killed for it. */
  available: number
  /** What bounds it: a control group, or the machine as a whole. */
  bound: 'group' | 'machine'
}

export function freeMemory(): Memory {
  return memoryOf('') ?? { available: process.availableMemory(), bound: 'machine' }
}

/** The least of what the machine and the control groups leave; undefined where there is no /proc/meminfo. `root`: as cgroupFolders has it. */
export function memoryOf(root: string): Memory | undefined {
  const kilobytes = /^MemAvailable:\s*(\d+) kB$/m.exec(read(join(root, '/proc/meminfo')) ?? '')?.[1]
  if (kilobytes === undefined) return undefined
  const machine = Number(kilobytes) * 1024
  const group = Math.min(...cgroupFolders(root, 'memory').map(leftIn))
  return group < machine ? { available: group, bound: 'group' } : { available: machine, bound: 'machine' }
}

/** Bytes until the limit of a control group. Pages of files count as free: they go when memory is needed. */
function leftIn({ path, version }: CgroupFolder): number {
  const names = version === 2 ? (['memory.max', 'memory.current', ''] as const) : (['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_'] as const)
  const limit = Number(read(join(path, names[0])) ?? 'NaN')
  const used = Number(read(join(path, names[1])) ?? 'NaN')
  // "max" is not a number; neither is a file that is not there.
  if (!Number.isFinite(limit) || !Number.isFinite(used)) return Number.POSITIVE_INFINITY
  const statistics = read(join(path, 'memory.stat')) ?? ''
  const files = ['inactive_file', 'active_file'].reduce((sum, name) => sum + Number(new RegExp(`^${names[2]}${name} (\\d+)$`, 'm').exec(statistics)?.[1] ?? 0), 0)
  return Math.max(0, limit - Math.max(0, used - files))
}
