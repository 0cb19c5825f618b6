import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Calls of a kind: one system call on some of the log's files. Paths are relative to the state folder. */
export interface CallKind {
  call: string
  paths: readonly string[]
}

/** 'slow': the call takes a second and a half, and succeeds. */
export type Fault = 'EIO' | 'ENOSPC' | 'SIGKILL' | 'slow'

/** The names of temporary files of the log's folder, in their order, in a process that fixed-names.ts is loaded into. */
export const temporaryFiles: readonly string[] = Array.from({ length: 64 }, (_, serial) => `audit/tmp/00000000-0000-4000-8000-000000000000-${serial}`)

export const hasStrace = ((): boolean => {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

/**
 * What stands before node on the command line: the `when`-th call of that kind fails, or the process is killed in it. strace counts calls by
 * thread, so libuv's pool has one. What it has seen goes to `trace`.
 */
export function injecting({ call, paths }: CallKind, fault: Fault, when: number | `${number}+`, { home, trace }: { home: string; trace: string }): string[] {
  const how = fault === 'SIGKILL' ? 'signal=SIGKILL' : fault === 'slow' ? 'delay_enter=1500ms' : `error=${fault}`
  // With it strace stops fewer calls, but its signals do not arrive.
  const faster = fault === 'SIGKILL' ? [] : ['--seccomp-bpf']
  const only = paths.flatMap((path) => ['-P', join(home, path)])
  return ['env', 'UV_THREADPOOL_SIZE=1', 'strace', '-f', '-I2', ...faster, '-e', 'quiet=attach,personality,path-resolution', '-y', '-o', trace, '-e', `trace=${call}`, '-e', `inject=${call}:${how}:when=${when}`, ...only]
}

/** How many calls of a run failed, or had the process killed, because strace made them. */
export function firedIn(trace: string): number {
  const lines = readFileSync(trace, 'latin1').split('\n')
  const failed = lines.filter((line) => /\((INJECTED|DELAYED)\)/.test(line)).length
  return failed > 0 ? failed : Number(lines.some((line) => line.includes('+++ killed by SIGKILL +++')))
}

/**
 * From now on, until `end`, calls of that kind go wrong in a process that runs: `how` as in strace's inject=…, for example "error=EIO" or
 * "delay_enter=60s". Resolves once strace holds it; the paths must be there.
 */
export async function disturb(pid: number | undefined, call: string, how: string, path: string): Promise<{ end(): Promise<void> }> {
  const strace = spawn('strace', ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:${how}`, '-P', path], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(strace, 'exit')
  let said = ''
  for await (const line of createInterface(strace.stderr)) {
    said += `${line}\n`
    if (/ attached/.test(line)) break
  }
  if (!/ attached/.test(said)) throw new Error(`strace did not attach:\n${said}`)
  strace.stderr.resume()
  return {
    async end() {
      strace.kill('SIGTERM')
      await ended
    },
  }
}
