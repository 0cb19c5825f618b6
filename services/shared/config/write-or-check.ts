import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * For a script that generates a committed file: `--write` writes it, `--check` says whether it is current, without either it
 * goes to standard output. The exit status is 1 when it is not current, 2 for another option.
 */
export function writeOrCheck(target: URL, content: string, options: readonly string[]): void {
  const file = fileURLToPath(target)
  const [option, ...more] = options
  if (option === undefined) {
    process.stdout.write(content)
  } else if (more.length === 0 && option === '--write') {
    writeFileSync(file, content)
  } else if (more.length === 0 && option === '--check') {
    if (existsSync(file) && readFileSync(file, 'utf8') === content) return
    process.stderr.write(`${relative('.', file)} is not current: run this script with --write\n`)
    process.exitCode = 1
  } else {
    process.stderr.write('options: --write or --check\n')
    process.exitCode = 2
  }
}
