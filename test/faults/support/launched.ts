import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive } from '../../../deploy/local/is-alive.ts'
import { readPlatformFile } from '../../../deploy/local/platform-file.ts'
import type { Target } from '../../support/client.ts'
import { until } from '../../support/platform.ts'
import { configurationOf, environment } from './alone.ts'

const main = join(import.meta.dirname, '../../../services/cli/main.ts')

/** The whole platform as a person starts it, `intramuros start`, on a state folder of its own with one model. */
export interface Launched {
  home: string
  /** What its log and its errors were. */
  log(): string
  /** Resolves when it has told how to use it, with where to send requests; rejects when it ends before. */
  ready(): Promise<Target>
  /** Process id of a service. */
  pid(service: string): number
  /** `intramuros status`: what it prints and its exit status. */
  status(): Promise<{ text: string; status: number | null }>
  signal(signal: NodeJS.Signals): void
  /** Exit status of the command. */
  ended: Promise<number | null>
  /** Ends everything and removes the folder. */
  remove(): Promise<void>
}

export async function launch(modelPath: string, env: Record<string, string> = {}): Promise<Launched> {
  const home = await mkdtemp(join(tmpdir(), 'intramuros-launched-'))
  await writeFile(join(home, 'intramuros.yaml'), JSON.stringify(configurationOf(modelPath)))
  const { child, output } = command(home, ['start'], env)
  const ended = once(child, 'close').then(([status]: (number | null)[]) => status ?? null)

  return {
    home,
    log: () => output.stderr,
    async ready() {
      const told = (): boolean => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${output.stderr}`)
        return output.stdout.includes('Stop with Ctrl-C.')
      }
      await until(told, 'the platform to be ready', 60_000)
      return {
        url: /ready: (\S+)/.exec(output.stdout)?.[1] ?? '',
        key: /API key +(sk-im-\S+)/.exec(output.stdout)?.[1] ?? '',
        ca: await readFile(join(home, 'tls/ca.crt'), 'utf8'),
        model: 'tested',
      }
    },
    pid(service) {
      const found = readPlatformFile(home)?.children.find(({ name }) => name === service)
      if (found === undefined) throw new Error(`${service} does not run`)
      return found.pid
    },
    async status() {
      const run = command(home, ['status'], {})
      await once(run.child, 'close')
      return { text: run.output.stdout, status: run.child.exitCode }
    },
    signal: (signal) => void child.kill(signal),
    ended,
    async remove() {
      child.kill('SIGKILL')
      await ended
      for (const { pid } of readPlatformFile(home)?.children ?? []) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
      await rm(home, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function command(home: string, args: string[], env: Record<string, string>): { child: ChildProcess; output: { stdout: string; stderr: string } } {
  // Core files are allowed where whoever runs the tests may allow them: then it is the platform that leaves none.
  const allowed = ['-c', 'ulimit -c unlimited 2>/dev/null; exec "$0" "$@"', process.execPath, main, ...args]
  const child = spawn('/bin/sh', allowed, { stdio: ['ignore', 'pipe', 'pipe'], cwd: home, env: { ...environment(home), ...env } })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  return { child, output }
}
