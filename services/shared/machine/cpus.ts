import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { cgroupFolders, read } from './cgroups.ts'

export interface Cpus {
  /** CPUs that this process may run on: its affinity and cpuset. */
  affinity: number
  /** CPUs' worth of time that control groups leave it; undefined: no such limit. */
  quota: number | undefined
}

export function usableCpus(): Cpus {
  // cpusets show in the affinity, too. The number that Node.js tells respects it, and where there is no /proc it is all there is.
  const affinity = parseAffinity(read('/proc/self/status') ?? '') ?? availableParallelism()
  return { affinity, quota: cpuQuota('') }
}

/** The least quota of this process's control groups and those above them, in CPUs. `root`: as cgroupFolders has it. */
export function cpuQuota(root: string): number | undefined {
  const quotas = cgroupFolders(root, 'cpu').flatMap(({ path, version }) => {
    const [quota, period] =
      version === 2
        ? (read(join(path, 'cpu.max')) ?? '').trim().split(' ').map(Number)
        : [Number(read(join(path, 'cpu.cfs_quota_us')) ?? 'NaN'), Number(read(join(path, 'cpu.cfs_period_us')) ?? 'NaN')]
    // "max", or -1: none.
    return quota !== undefined && period !== undefined && quota > 0 && period > 0 ? [quota / period] : []
  })
  return quotas.length === 0 ? undefined : Math.min(...quotas)
}

/** How many CPUs the line "Cpus_allowed" of /proc/self/status has, for example "ff,ffffffff". */
export function parseAffinity(status: string): number | undefined {
  const mask = /^Cpus_allowed:\s*([0-9a-f,]+)$/m.exec(status)?.[1]
  if (mask === undefined) return undefined
  const count = mask.replaceAll(',', '').split('').reduce((sum, digit) => sum + bits(Number.parseInt(digit, 16)), 0)
  return count === 0 ? undefined : count
}

function bits(digit: number): number {
  return digit.toString(2).replaceAll('0', '').length
}

const mostThreads = 8

/**
 * Threads for decoding. One less than the CPUs: with a thread on each, llama.cpp's threads spin while they wait for the one that
 * something else holds up. Under a quota the threads' spinning is paid for, too, and when it is used up all of them stand still for the rest
 * of the period, the event loop with them: so threads are never more than whole CPUs of the quota, and of a quota larger than one CPU a part
 * is left for the event loop.
 */
export function decodeThreads({ affinity, quota }: Cpus): number {
  const byQuota = quota === undefined ? Number.POSITIVE_INFINITY : Math.ceil(quota) - 1
  return Math.min(mostThreads, Math.max(1, Math.min(affinity - 1, byQuota)))
}
