import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cpuQuota, decodeThreads, parseAffinity, usableCpus } from './cpus.ts'
import { freeMemory, memoryOf } from './memory.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'intramuros-machine-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

async function lay(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
}

const gib = 2 ** 30
const meminfo = { '/proc/meminfo': 'MemTotal:       33554432 kB\nMemFree:         1000 kB\nMemAvailable:   16777216 kB\n' }
const version2 = { '/proc/self/mountinfo': '29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n', '/proc/self/cgroup': '0::/pods/pod\\x2d1/worker\n' }
const own = '/sys/fs/cgroup/pods/pod\\x2d1/worker'

describe('control groups, version 2', () => {
  test('the least quota and limit on the way up hold', async () => {
    await lay({
      ...meminfo,
      ...version2,
      [`${own}/cpu.max`]: '250000 100000\n',
      '/sys/fs/cgroup/pods/cpu.max': '150000 100000\n',
      '/sys/fs/cgroup/cpu.max': 'max 100000\n',
      [`${own}/memory.max`]: 'max\n',
      [`${own}/memory.current`]: '1\n',
      '/sys/fs/cgroup/pods/memory.max': `${8 * gib}\n`,
      '/sys/fs/cgroup/pods/memory.current': `${5 * gib}\n`,
      '/sys/fs/cgroup/pods/memory.stat': `anon 1\ninactive_file ${gib}\nactive_file ${gib}\ntotal_inactive_file 7\n`,
    })
    expect(cpuQuota(root)).toBe(1.5)
    expect(memoryOf(root)).toEqual({ available: 5 * gib, bound: 'group' })
  })

  test('a container that sees its group as the root of the mount', async () => {
    await lay({
      ...meminfo,
      '/proc/self/mountinfo': '29 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n',
      '/proc/self/cgroup': '0::/docker/abc\n',
      '/sys/fs/cgroup/cpu.max': '50000 100000\n',
      '/sys/fs/cgroup/memory.max': `${gib}\n`,
      '/sys/fs/cgroup/memory.current': '0\n',
    })
    expect(cpuQuota(root)).toBe(0.5)
    expect(memoryOf(root)).toEqual({ available: gib, bound: 'group' })
  })

  test('no limit leaves what the machine has', async () => {
    await lay({ ...meminfo, ...version2, [`${own}/cpu.max`]: 'max 100000\n', [`${own}/memory.max`]: 'max\n' })
    expect(cpuQuota(root)).toBeUndefined()
    expect(memoryOf(root)).toEqual({ available: 16 * gib, bound: 'machine' })
  })
})

test('control groups, version 1, with and without limits', async () => {
  await lay({
    ...meminfo,
    '/proc/self/mountinfo': '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n34 31 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
    '/proc/self/cgroup': '4:memory:/a\n3:cpu,cpuacct:/a/b\n0::/\n',
    '/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us': '400000\n',
    '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/memory/a/memory.limit_in_bytes': `${2 * gib}\n`,
    '/sys/fs/cgroup/memory/a/memory.usage_in_bytes': `${gib}\n`,
    '/sys/fs/cgroup/memory/a/memory.stat': `inactive_file 5\ntotal_inactive_file ${gib / 2}\ntotal_active_file 0\n`,
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${20 * gib}\n`,
  })
  expect(cpuQuota(root)).toBe(4)
  expect(memoryOf(root)).toEqual({ available: 1.5 * gib, bound: 'group' })
})

test('where there is nothing of the sort, nothing is limited', () => {
  expect(cpuQuota(root)).toBeUndefined()
  expect(memoryOf(root)).toBeUndefined()
})

test('this machine has CPUs and memory', () => {
  const { affinity, quota } = usableCpus()
  expect(affinity).toBeGreaterThanOrEqual(1)
  expect(quota ?? 1).toBeGreaterThan(0)
  expect(freeMemory().available).toBeGreaterThan(2 ** 20)
})

test.each([
  ['Name:\tnode\nCpus_allowed:\t3\nMems_allowed:\t1\n', 2],
  ['Cpus_allowed:\tff,ffffffff\n', 40],
  ['Cpus_allowed:\t00000000,00000100\n', 1],
  ['Cpus_allowed:\t0\n', undefined],
  ['', undefined],
])('affinity of %j', (status, cpus) => {
  expect(parseAffinity(status)).toBe(cpus)
})

test.each([
  [1, undefined, 1],
  [2, undefined, 1],
  [4, undefined, 3],
  [64, undefined, 8],
  [64, 0.5, 1],
  [64, 1, 1],
  [64, 1.5, 1],
  [64, 2, 1],
  [64, 2.5, 2],
  [64, 4, 3],
  [3, 16, 2],
])('with %s CPUs and a quota of %s: %i threads', (affinity, quota, threads) => {
  expect(decodeThreads({ affinity, quota })).toBe(threads)
  // Threads that always run never use the quota up.
  expect(threads).toBeLessThanOrEqual(Math.max(1, quota ?? affinity))
})

/** Folders of control groups made for this test; empty where that is not allowed. */
async function makeGroups(): Promise<string[]> {
  const name = `intramuros-test-${process.pid}`
  const [cpu, memory] = [join('/sys/fs/cgroup/cpu', name), join('/sys/fs/cgroup/memory', name)]
  try {
    await mkdir(cpu)
    await mkdir(memory)
    await writeFile(join(cpu, 'cpu.cfs_quota_us'), '150000')
    await writeFile(join(memory, 'memory.limit_in_bytes'), String(gib))
    return [cpu, memory]
  } catch {
    // Version 2, no root, or no Linux: the fixtures above stand for it.
    await Promise.all([cpu, memory].map((folder) => rmdir(folder).catch(() => undefined)))
    return []
  }
}

test('in a real control group', async (context) => {
  const groups = await makeGroups()
  if (groups.length === 0) context.skip()
  try {
    const code = `
      import { cpuQuota } from ${JSON.stringify(join(import.meta.dirname, 'cpus.ts'))}
      import { freeMemory } from ${JSON.stringify(join(import.meta.dirname, 'memory.ts'))}
      console.log(JSON.stringify({ quota: cpuQuota(''), ...freeMemory() }))`
    const script = join(root, 'told.mjs')
    await writeFile(script, code)
    const joining = groups.map((folder) => `echo $$ > ${folder}/cgroup.procs`).join(' && ')
    const { stdout } = await promisify(execFile)('sh', ['-c', `${joining} && exec "$0" "$1"`, process.execPath, script], { timeout: 20_000 })
    const told = JSON.parse(stdout) as { quota: number; available: number; bound: string }
    expect(told).toMatchObject({ quota: 1.5, bound: 'group' })
    expect(told.available).toBeGreaterThan(0.7 * gib)
    expect(told.available).toBeLessThan(gib)
  } finally {
    await Promise.all(groups.map((folder) => rmdir(folder)))
  }
})
