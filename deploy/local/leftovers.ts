import { execFile } from 'node:child_process'
import { setTimeout as after } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Logger } from '../../services/shared/log.ts'
import { isAlive } from './is-alive.ts'
import { readPlatformFile, removePlatformFile } from './platform-file.ts'
import { StartError } from './start-error.ts'

export interface LeftoverTiming {
  /** Milliseconds given to the children to end by themselves, as they do when their launcher is gone. */
  patienceMs: number
  /** Milliseconds for the killed ones to be gone. */
  killMs: number
}

const defaultTiming: LeftoverTiming = { patienceMs: 10_000, killMs: 5000 }

/**
 * Waits for the children of a launcher that was killed, then kills those that stay. They hold the ports and files
 * that the new ones need. Call it with the state folder locked: then nobody else owns them.
 */
export async function waitForLeftovers(home: string, log: Logger, timing: LeftoverTiming = defaultTiming): Promise<void> {
  const former = readPlatformFile(home)
  if (former === undefined) return
  const pids = former.children.map((child) => child.pid)
  let left = await waitUntilGone(pids, former.token, timing.patienceMs)
  if (left.length > 0) {
    log.warn({ pids: left }, 'services of a killed launcher do not end: killing them')
    for (const pid of left) kill(pid)
    left = await waitUntilGone(left, former.token, timing.killMs)
  }
  if (left.length > 0) {
    throw new StartError(`Services of an earlier start are still running as process ${left.join(', ')}: end them first.`)
  }
  removePlatformFile(home)
}

/** Those of the processes that are still there when the time is up. */
async function waitUntilGone(pids: number[], token: string, limitMs: number): Promise<number[]> {
  const deadline = performance.now() + limitMs
  let left = pids.filter(isAlive)
  // Asked once a process, as ps costs some milliseconds: a stranger stays one.
  const ours = await Promise.all(left.map(async (pid) => ((await commandLine(pid)).includes(token) ? [pid] : [])))
  left = ours.flat()
  while (left.length > 0 && performance.now() < deadline) {
    await after(20)
    left = left.filter(isAlive)
  }
  return left
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended meanwhile.
  }
}

/** The command line of a process, by POSIX ps; empty when it is gone or a zombie, or there is no ps to ask. */
async function commandLine(pid: number): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { timeout: 5000 })
    return stdout
  } catch {
    return ''
  }
}
