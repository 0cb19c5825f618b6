import { execFile } from 'node:child_process'

export interface RunOptions {
  timeoutMs: number
  cwd?: string
}

/** What the program wrote to standard output. Throws an error that says how it failed and the last lines it wrote. */
export async function runProgram(program: string, args: readonly string[], { timeoutMs, cwd }: RunOptions): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20, cwd }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ${args.join(' ')}: ${reasonOf(error, timeoutMs)}\n${lastLines(`${stdout}${stderr}`)}`))
    })
  })
}

function reasonOf(error: { code?: unknown; signal?: unknown; killed?: boolean | undefined }, timeoutMs: number): string {
  if (error.code === 'ENOENT') return 'there is no such program'
  if (error.killed === true) return `not done after ${timeoutMs / 1000} seconds`
  if (typeof error.signal === 'string') return `ended by ${error.signal}`
  return `ended with ${String(error.code)}`
}

function lastLines(text: string): string {
  return text.trimEnd().split('\n').slice(-20).join('\n')
}
