import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../support/platform.ts'
import { runProgram } from '../support/run-program.ts'

export interface RunningContainerd {
  /** The program that talks to it, with its options. */
  ctr: string
  /** What `ctr` answers, in the namespace of Kubernetes. */
  ask(...args: string[]): Promise<string>
  stop(): Promise<void>
}

/** A containerd of its own in an empty folder, beside others that may run. Needs root and Debian's package containerd. */
export async function startContainerd(folder: string): Promise<RunningContainerd> {
  await mkdir(folder, { recursive: true })
  const socket = join(folder, 'c.sock')
  const config = `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n[ttrpc]\naddress = "${folder}/t.sock"\n`
  await writeFile(join(folder, 'config.toml'), config)
  const child = spawn('containerd', ['--config', join(folder, 'config.toml')], { stdio: 'ignore' })
  let failure: Error | undefined
  child.on('error', (error) => (failure = new Error('This test needs containerd (Debian: apt-get install containerd).', { cause: error })))
  const ask = (...args: string[]): Promise<string> => runProgram('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args], { timeoutMs: 60_000 })
  await until(
    async () => {
      if (failure !== undefined) throw failure
      return (await ask('version').catch(() => '')) !== ''
    },
    'containerd',
    20_000,
  )
  return {
    ctr: `ctr --address ${socket}`,
    ask,
    async stop() {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}
