import { execFile } from 'node:child_process'

export interface RunOptions {
  timeoutMs: number
  /** What it reads from standard input; nothing if it is not given. */
  input?: string
}

/** What the program wrote to standard output. Throws an error that says how it failed and the last lines it wrote. */
export async function runProgram(program: string, args: readonly string[], { timeoutMs, input = '' }: RunOptions): Promise<string> {
  return await new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20 } as const
    const { stdin } = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ${args.join(' ')}: ${reasonOf(error, timeoutMs)}\n${lastLines(`${stdout}${stderr}`)}`))
    })
    // A program that ends before it has read everything is told by its status.
    stdin?.on('error', () => undefined)
    stdin?.end(input)
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
