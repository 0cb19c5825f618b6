import { readFile } from 'node:fs/promises'

export interface ProcessFigures {
  /** Of all its threads, in user and in system mode, in microseconds; steps of ten thousand. */
  cpuUs: number
  /** In bytes: what it has in memory now, with pages of files that others may share, and the most that it ever had. */
  rss: number
  peakRss: number
}

/** Of another process, from /proc; undefined where there is none. */
export async function processFigures(pid: number): Promise<ProcessFigures | undefined> {
  const [stat, status] = await Promise.all([read(`/proc/${pid}/stat`), read(`/proc/${pid}/status`)])
  if (stat === undefined || status === undefined) return undefined
  // Behind the name of the program, which may hold anything; a tick is a hundredth of a second to every program.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { cpuUs: (Number(fields[11]) + Number(fields[12])) * 10_000, rss: kilobytes(status, 'VmRSS'), peakRss: kilobytes(status, 'VmHWM') }
}

/**
 * Its share of the memory that it uses, in bytes: a page that several use counts for each in part. `anonymous` is what is not read from
 * a file: neither weights nor programs, which come and go with what else the machine does.
 */
export async function proportionalMemory(pid: number): Promise<{ all: number; anonymous: number } | undefined> {
  const rollup = await read(`/proc/${pid}/smaps_rollup`)
  return rollup === undefined ? undefined : { all: kilobytes(rollup, 'Pss'), anonymous: kilobytes(rollup, 'Pss_Anon') }
}

/** Names of the files that it has mapped and that match. */
export async function mappedFiles(pid: number, name: RegExp): Promise<string[]> {
  const maps = (await read(`/proc/${pid}/maps`)) ?? ''
  return [...new Set(maps.split('\n').flatMap((line) => line.split('/').at(-1)?.match(name)?.[0] ?? []))]
}

function kilobytes(text: string, field: string): number {
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN)
}

async function read(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined)
}
