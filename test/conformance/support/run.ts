import { spawn } from 'node:child_process'

export interface RunOptions {
  cwd: string
  timeoutMs: number
  env?: Record<string, string>
}

/** Runs a program to its end, however it ends; killed at the limit. */
export async function run(program: string, args: readonly string[], { cwd, timeoutMs, env = {} }: RunOptions): Promise<{ status: number | null; output: string }> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL', env: { ...process.env, ...env } })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve({ status, output }))
  })
}
