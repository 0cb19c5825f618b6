import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** Runs a standard program to its end. Throws with what it said when it fails. */
export async function runTool(program: string, args: readonly string[], { cwd }: { cwd?: string } = {}): Promise<void> {
  await toolOutput(program, args, cwd === undefined ? {} : { cwd })
}

/** The same, with what it wrote to standard output. */
export async function toolOutput(program: string, args: readonly string[], { cwd }: { cwd?: string } = {}): Promise<string> {
  const written: Buffer[] = []
  await run(program, args, cwd, (stdout) => void stdout.on('data', (chunk: Buffer) => written.push(chunk)))
  return Buffer.concat(written).toString('utf8')
}

/** The same, while what it writes to standard output, of any size, goes through `through` to `sink`, which is ended. Also throws what the sink throws. */
export async function toolInto(program: string, args: readonly string[], through: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>, sink: Writable): Promise<void> {
  let sunk: Promise<void> | undefined
  const ended = run(program, args, undefined, (stdout) => {
    sunk = pipeline(stdout, through, sink)
  })
  const results = await Promise.allSettled([sunk, ended])
  // What the sink says comes first: a program whose output nobody takes any more fails, too. But where there is no such program, there is no output either.
  for (const result of results) if (result.status === 'rejected' && !isCutShort(result.reason)) throw result.reason
}

function isCutShort(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_STREAM_PREMATURE_CLOSE'
}

async function run(program: string, args: readonly string[], cwd: string | undefined, take: (stdout: Readable) => void): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' }, cwd })
  take(child.stdout)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4096)))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${program} can not be run: ${error.message}`)))
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} failed with status ${code}: ${said.trim()}`)
}
