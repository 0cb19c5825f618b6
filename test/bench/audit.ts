import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/**
 * `npm run bench:audit`: how fast the ledger is, all of it: appends to a folder and to PostgreSQL against their bare limits, the check of
 * a whole log, and pages of its index. `--quick`: a small run of each, which says that they work; its figures say little.
 */
const quick = process.argv.includes('--quick')
const parts = [['audit-folder.ts'], ['audit-verify.ts'], ['audit-postgres.ts'], ['audit-large.ts', '--millions', '10']]
for (const [script = '', ...options] of parts) {
  process.stdout.write(`\n== ${script}\n`)
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, script), ...options, ...(quick ? ['--quick'] : [])], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
