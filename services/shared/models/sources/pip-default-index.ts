import { execFile } from 'node:child_process'

/** How pip is started, by likelihood. */
const commands: readonly (readonly [string, ...string[]])[] = [
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
  ['pip3'],
  ['pip'],
]

/**
 * Asks the machine's pip for the index it uses where nothing is configured: its help names the default. Undefined when there is
 * no pip that answers in time. Each start of pip gets 10 s (a cold start from a slow disk takes several).
 */
export async function pipDefaultIndex(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string | undefined> {
  for (const [command, ...args] of commands) {
    const help = await outputOf(command, [...args, 'download', '--help'], env, signal)
    signal.throwIfAborted()
    const index = help === undefined ? undefined : indexInHelp(help)
    if (index !== undefined) return index
  }
  return undefined
}

/** The URL in `--index-url <url>  Base URL of the Python Package Index (default https://…)`, however the help is wrapped. */
export function indexInHelp(help: string): string | undefined {
  const [, url] = /--index-url\s[^(]*\(default\s+(https?:\/\/[^\s)]+)\)/.exec(help) ?? []
  return url !== undefined && URL.canParse(url) ? url : undefined
}

async function outputOf(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string | undefined> {
  return await new Promise((resolve) => {
    // Wide, so that the help doesn't break the URL in two.
    const options = {
      env: { ...env, COLUMNS: '400' },
      timeout: 10_000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 20,
      windowsHide: true,
      signal,
    } as const
    execFile(command, args, options, (error, stdout) => {
      resolve(error === null ? stdout : undefined)
    })
  })
}
