import { writeSync } from 'node:fs'
import { openLog } from '../log/log.ts'

/**
 * A process of log.test.ts that appends to the log of a folder: `append.ts forever|hold FOLDER` or `append.ts fill FOLDER`. Writes a
 * line to standard output for each thing that happened, at once.
 */
const [mode = '', folder = ''] = process.argv.slice(2)
const tell = (line: string): void => void writeSync(1, `${line}\n`)
const quiet = () => undefined
const log = await openLog({
  folder,
  lockWaitMs: 10_000,
  clock: Date.now,
  log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  metrics: { group: quiet },
  onRecord: quiet,
  onFailed: () => tell('failed'),
})
tell('open')

function entries(requestIds: string[]): { type: 'end'; requestId: string; outcome: 'interrupted' }[] {
  return requestIds.map((requestId) => ({ type: 'end', requestId, outcome: 'interrupted' }))
}

async function forever(lane: number): Promise<never> {
  for (let turn = 0; ; turn += 1) {
    const requestId = `${process.pid}-${lane}-${turn}`
    const index = await log.append(entries([requestId]))
    tell(`${index} ${requestId}`)
  }
}

/** Under a limit of the file's size: appends until it is reached, then more than fits, then what still fits. */
async function fill(): Promise<void> {
  const refused = async (count: number): Promise<boolean> => {
    try {
      await log.append(entries(Array.from({ length: count }, (_, index) => `${process.pid}-${index}`)))
      return false
    } catch (thrown) {
      if (thrown instanceof Error && 'reason' in thrown) tell(String(thrown.reason))
      return true
    }
  }
  while (!(await refused(50)));
  const outcomes = await Promise.all([refused(50), refused(50)])
  tell(`together ${outcomes.join(' ')}`)
  tell(`one ${await refused(1)}`)
  await log.close()
}

if (mode === 'forever') await Promise.all(Array.from({ length: 16 }, (_, lane) => forever(lane)))
else if (mode === 'fill') await fill()
else await new Promise(() => setInterval(quiet, 60_000))
