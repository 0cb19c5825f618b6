import { spawn } from 'node:child_process'

export type FsckVerdict = 'good' | 'fault found' | 'timed out'

/**
 * What fsck says of a log. It ends with status 0 whatever it finds, so that only its last line counts; and v1.0.4 never ends after it found
 * another tile than it expected and has more to check.
 */
export async function runFsck(fsck: string, { url, keyFile, timeoutMs }: { url: string; keyFile: string; timeoutMs: number }): Promise<{ verdict: FsckVerdict; log: string }> {
  const child = spawn(fsck, ['-ui=false', `-storage_url=${url}`, `-public_key=${keyFile}`], { stdio: ['ignore', 'ignore', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text))
  const signal = await new Promise<string | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (_status, signal) => resolve(signal))
  })
  if (signal !== null) return { verdict: 'timed out', log }
  return { verdict: log.includes("Successfully fsck'd log") ? 'good' : 'fault found', log }
}
