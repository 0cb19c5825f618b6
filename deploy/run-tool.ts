import { spawn } from 'node:child_process'

/** Runs a standard program to its end. Throws with what it said when it fails. */
export async function runTool(program: string, args: readonly string[], { cwd }: { cwd?: string } = {}): Promise<void> {
  await toolOutput(program, args, cwd === undefined ? {} : { cwd })
}

/** The same, with what it wrote to standard output. */
export async function toolOutput(program: string, args: readonly string[], { cwd }: { cwd?: string } = {}): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' }, cwd })
  const written: Buffer[] = []
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => written.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4096)))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${program} can not be run: ${error.message}`)))
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} failed with status ${code}: ${said.trim()}`)
  return Buffer.concat(written).toString('utf8')
}
