import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A control group whose processes get only so much memory; the kernel kills them for more. */
export interface MemoryGroup {
  /** From now on: what the process holds already is not counted. */
  add(pid: number): void
  /** Its processes must have ended. */
  remove(): void
}

const root = '/sys/fs/cgroup'
/** Of version 1 in a hierarchy of its own, of version 2 in the one that there is. */
const kinds = [
  { folder: join(root, 'memory'), limit: 'memory.limit_in_bytes' },
  { folder: root, limit: 'memory.max' },
]

/** Undefined where this process may not make one: it takes root, outside of most containers. */
export function createMemoryGroup(bytes: number): MemoryGroup | undefined {
  for (const { folder, limit } of kinds) {
    const group = join(folder, `intramuros-test-${process.pid}`)
    try {
      if (!existsSync(join(folder, 'cgroup.procs'))) continue
      mkdirSync(group)
      if (!existsSync(join(group, limit))) {
        rmdirSync(group)
        continue
      }
      writeFileSync(join(group, limit), String(bytes))
      return {
        add: (pid) => writeFileSync(join(group, 'cgroup.procs'), String(pid)),
        remove: () => rmdirSync(group),
      }
    } catch {
      // Not allowed here.
    }
  }
  return undefined
}
