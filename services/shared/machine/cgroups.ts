import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

/** Controllers of control groups that limit this process. */
export type Controller = 'cpu' | 'memory'

/** A folder of control files. */
export interface CgroupFolder {
  path: string
  version: 1 | 2
}

/**
 * The folders of the control groups that this process is in, its own first and then those above it, as far as they can be seen. `root`
 * is where /proc and what is mounted are looked for: empty but in tests. Empty where there are none.
 */
export function cgroupFolders(root: string, controller: Controller): CgroupFolder[] {
  const mounts = parseMounts(read(join(root, '/proc/self/mountinfo')) ?? '')
  return parseMemberships(read(join(root, '/proc/self/cgroup')) ?? '').flatMap(({ controllers, path }) => {
    const version = controllers.length === 0 ? 2 : 1
    if (version === 1 && !controllers.includes(controller)) return []
    const mount = mounts.find((candidate) => candidate.version === version && (version === 2 || candidate.options.includes(controller)))
    return mount === undefined ? [] : upwards(mount, path).map((folder) => ({ path: join(root, folder), version }) as const)
  })
}

/** Text of a file, or undefined. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

interface Membership {
  /** Empty for version 2. */
  controllers: string[]
  path: string
}

/** Lines as "4:memory:/pods/a" or "0::/user.slice". */
function parseMemberships(text: string): Membership[] {
  return text.split('\n').flatMap((line) => {
    const [, id, controllers = '', path = '/'] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (id === undefined || (controllers === '' && id !== '0')) return []
    return [{ controllers: controllers === '' ? [] : controllers.split(','), path }]
  })
}

interface Mount {
  /** The part of the hierarchy that is mounted. */
  root: string
  at: string
  version: 1 | 2
  options: string[]
}

/** Lines as "30 25 0:26 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct" (proc(5)). */
function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line): Mount[] => {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root = '', at = ''] = before.split(' ')
    const [type, , options = ''] = after.split(' ')
    if (type !== 'cgroup' && type !== 'cgroup2') return []
    return [{ root: unescaped(root), at: unescaped(at), version: type === 'cgroup2' ? 2 : 1, options: options.split(',') }]
  })
}

/** A container often sees its own group as the root of the mount, under a path that is that of the machine. */
function upwards({ root, at }: Mount, path: string): string[] {
  const inside = path === root || root === '/' || path.startsWith(`${root}/`)
  const relative = inside ? posix.relative(root, path) : ''
  const folders: string[] = []
  for (let folder = posix.join(at, relative.startsWith('..') ? '' : relative); ; folder = posix.dirname(folder)) {
    folders.push(folder)
    if (folder.length <= at.length) return folders
  }
}

/** Spaces and the like stand as \040. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
