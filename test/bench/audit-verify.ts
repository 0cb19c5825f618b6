import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Entry } from '../../services/audit/records/record.ts'
import { beginOf, endOf } from '../../services/audit/test-support/example-records.ts'
import { openTestLog } from '../../services/audit/test-support/open-test-log.ts'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { median } from './statistics.ts'

/**
 * How fast a whole log is checked, as `intramuros audit verify` does: every record, hash and tile, and the checkpoint.
 * `--records 1000000`, `--folder`; `--quick`: 20,000.
 */
const { values } = parseArgs({ options: { folder: { type: 'string', default: tmpdir() }, records: { type: 'string', default: '1000000' }, quick: { type: 'boolean', default: false } } })
const records = values.quick ? 20_000 : Number(values.records)
const home = mkdtempSync(join(values.folder, 'intramuros-bench-verify-'))

/** A request, with ids and figures of its own. */
function requestOf(number: number): Entry[] {
  const id = `${number.toString(16).padStart(8, '0')}-4000-4000-8000-00000000abcd`
  const team = `team-${number % 40}`
  return [
    beginOf(id, { team, keyId: `key_${number % 5000}`, model: 'smollm2-135m-instruct', modelDigest: 'a'.repeat(64), requestBytes: number % 10_000, parameters: number % 2 === 0 ? {} : { maxTokens: 256, temperature: '0.7' } }),
    endOf(id, { team, inputTokens: number % 900, outputTokens: number % 300, durationUs: 900_000 + number, worker: '10.0.0.1:7000' }),
  ]
}

try {
  const log = await openTestLog(home)
  for (let made = 0; made < records; made += 4096) {
    await log.append(Array.from({ length: Math.min(4096, records - made) / 2 }, (_, at) => requestOf(made / 2 + at)).flat())
  }
  await log.close()
  const speeds: number[] = []
  const perCpu: number[] = []
  for (let round = 0; round < (values.quick ? 1 : 3); round += 1) {
    const [begun, cpu] = [performance.now(), process.cpuUsage()]
    const result = await verifyFolder(join(home, 'audit'), { vkey: log.signer.vkey })
    if (!result.ok || result.records < records) throw new Error(`not found whole: ${JSON.stringify(result)}`)
    const { user, system } = process.cpuUsage(cpu)
    speeds.push(result.records / ((performance.now() - begun) / 1000))
    perCpu.push(result.records / ((user + system) / 1e6))
  }
  process.stdout.write(
    `${records.toLocaleString('en')} records: ${Math.round(median(speeds)).toLocaleString('en')} records/s on ${availableParallelism()} cores, ${Math.round(median(perCpu)).toLocaleString('en')} a second of CPU ` +
      `(median of ${speeds.length}); aim 500,000 records/s, ${(500_000 / median(speeds)).toFixed(2)} times as fast\n`,
  )
} finally {
  rmSync(home, { recursive: true, force: true })
}
