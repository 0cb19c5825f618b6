import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../support/run-program.ts'
import { pythonClients, schemathesis } from './python-clients.ts'
import { schemasFile } from './wire/schemas.ts'

const folder = import.meta.dirname
const installMs = 5 * 60_000

/** Installs the clients, unless what is there is what the lockfile says, and makes schemas of their types. */
export default async function setup(): Promise<void> {
  const installed = join(folder, 'node_modules/.installed')
  const wanted = await digestOf(['package-lock.json', 'wire/make-schemas.ts', 'wire/openai-types.ts', 'wire/anthropic-types.ts'])
  if ((await readFile(installed, 'utf8').catch(() => '')) !== wanted) {
    await runProgram('npm', ['ci', '--prefix', folder], { timeoutMs: installMs })
    // In a process of its own: it needs the packages, which this one may have looked for already.
    await runProgram(process.execPath, [join(folder, 'wire/make-schemas.ts'), schemasFile], { timeoutMs: 60_000 })
    await writeFile(installed, wanted)
  }
  await pythonClients()
  await schemathesis()
}

async function digestOf(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const file of files) hash.update(await readFile(join(folder, file)))
  return hash.digest('hex')
}
