import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** `npm run bench`: all of them, one after the other; options such as --quick go to each. */
for (const script of ['request-path.ts', 'output-parser.ts', 'constraint.ts', 'constrained-decoding.ts', 'engine.ts']) {
  print(`\n== ${script}`)
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, script), ...process.argv.slice(2)], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
