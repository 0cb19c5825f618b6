import { writeSync } from 'node:fs'
import { openTestLog, refusal } from '../../../services/audit/test-support/open-test-log.ts'

/**
 * A process that appends to the log of a folder: `append-audit.ts HOME LIMIT_MS MOST`. Says each record on standard output, at once, when it
 * was acknowledged: "index name"; "refused name" when it was not; "open" and "failed". Ends after MOST records, or when standard input ends.
 */
const [home = '', limitMs = '1000', most = 'Infinity'] = process.argv.slice(2)

/** At once, also into a pipe that is full for a moment. */
function tell(line: string): void {
  const bytes = Buffer.from(`${line}\n`)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at)
    } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EAGAIN')) throw thrown
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

const log = await openTestLog(home, {
  lockWaitMs: 10_000,
  appendTimeoutMs: Number(limitMs),
  checkpointMs: 20,
  onFailed() {
    tell('failed')
    process.exit(70)
  },
})
tell('open')

let stop = false
let acknowledged = 0
process.stdin.on('end', () => (stop = true)).resume()

async function lane(number: number): Promise<void> {
  for (let turn = 0; !stop && acknowledged < Number(most); turn += 1) {
    const name = `${process.pid}-${number}-${turn}`
    try {
      tell(`${await log.append([refusal(name)])} ${name}`)
      acknowledged += 1
    } catch {
      tell(`refused ${name}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

await Promise.all(Array.from({ length: 16 }, (_, number) => lane(number)))
await log.close()
tell('closed')
process.exit(0)
