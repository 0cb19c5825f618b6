import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestLog } from '../../services/audit/test-support/open-test-log.ts'
import { acknowledgedBy, appendTo, expectWhole } from './support/audit-log.ts'
import { hasStrace } from './support/inject.ts'
import { createLossyDisk } from './support/power-loss.ts'
import { readCalls, straceOptions, type TracedMoment } from './support/traced-calls.ts'

/**
 * kill -9 does not test a sync: the system still has what was written. Here a run is recorded, call by call, and each state that a power
 * loss may have left on the disk is made and opened.
 */
let folder: string
let home: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-power-'))
  home = join(folder, 'home')
  await mkdir(home)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function recordRun(most: number): Promise<TracedMoment[]> {
  const trace = join(folder, 'trace')
  const appender = appendTo(home, { prefix: ['strace', ...straceOptions, '-o', trace], limitMs: 60_000, most })
  expect(await appender.ended).toBe(0)
  expect(acknowledgedBy(appender.said).size).toBeGreaterThanOrEqual(most)
  return readCalls(await readFile(trace, 'latin1'))
}

interface Tried {
  /** Moments at which the power went away, and how many there were. */
  moments: number
  of: number
  states: number
  /** Records that were acknowledged by the last of them. */
  acknowledged: number
  failures: string[]
}

/** One call on files of one place. */
function kindOf({ call, at, path, target }: TracedMoment): string {
  const place = (target === '' ? path : target).slice(home.length)
  return `${call} ${at} ${place.replaceAll(/[0-9a-f-]{36}-\d+|\d+/g, '#')}`
}

/**
 * Opens what losses left: at the first moment of each kind, and at those that `chosen` takes. Stops at the first failure. What a loss leaves
 * differs from moment to moment and from try to try: nothing that was not synced, or some of it.
 */
async function lose(moments: readonly TracedMoment[], chosen: (moment: TracedMoment, acknowledged: number) => boolean, ignoresSync?: (path: string) => boolean): Promise<Tried> {
  const disk = createLossyDisk(home, ignoresSync)
  const random = seeded(1)
  const some = (): number => (random() < 0.5 ? 0 : random() < 0.7 ? 1 : random())
  const tried: Tried = { moments: 0, of: 0, states: 0, acknowledged: 0, failures: [] }
  const said: string[] = []
  const seen = new Set<string>()
  for (const moment of moments) {
    // It has promised when it begins to say so.
    if (moment.call === 'write' && moment.fd === 1 && moment.at === 'entered') said.push(...moment.bytes.toString('latin1').split('\n'))
    if (!disk.follow(moment)) continue
    tried.of += 1
    const acknowledged = acknowledgedBy(said)
    const isFirst = !seen.has(kindOf(moment))
    seen.add(kindOf(moment))
    if (!chosen(moment, acknowledged.size) && (ignoresSync !== undefined || !isFirst)) continue
    tried.moments += 1
    tried.acknowledged = acknowledged.size
    for (const keep of [() => 0, some]) {
      const left = join(folder, `left-${(tried.states += 1)}`)
      await mkdir(left)
      disk.leave(left, keep)
      try {
        const log = await openTestLog(left)
        await log.close()
        await expectWhole(left, acknowledged)
      } catch (thrown) {
        tried.failures.push(`state ${tried.states}, after ${moment.call} (${moment.at}) of ${moment.path}, ${acknowledged.size} acknowledged: ${String(thrown)}`)
        return tried
      }
      await rm(left, { recursive: true })
    }
  }
  return tried
}

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe.runIf(hasStrace)('power loss', () => {
  test('at any call of a short run loses no record that was acknowledged, and the log goes on', async ({ annotate }) => {
    const tried = await lose(await recordRun(24), () => true)
    await annotate(`${tried.states} states at ${tried.moments} of ${tried.of} moments`)
    expect(tried.failures).toEqual([])
    expect(tried.acknowledged).toBeGreaterThanOrEqual(24)
    expect(tried.moments).toBe(tried.of)
    expect(tried.states).toBeGreaterThan(150)
  })

  test('during a run in which tiles are moved out and SQLite checkpoints its WAL', async ({ annotate }) => {
    const moments = await recordRun(5000)
    const isCheckpoint = ({ call, path }: TracedMoment): boolean => call === 'pwrite64' && path.endsWith('/log.sqlite')
    expect(moments.filter(isCheckpoint).length).toBeGreaterThan(100)
    const rename = moments.filter(({ call, target }) => call === 'rename' && target.includes('/tile/'))
    expect(rename.length).toBeGreaterThan(20)
    const random = seeded(2)
    const tried = await lose(moments, (moment) => random() < (isCheckpoint(moment) || moment.call === 'rename' ? 0.02 : 0.002))
    await annotate(`${tried.states} states at ${tried.moments} of ${tried.of} moments`)
    expect(tried.failures).toEqual([])
    expect(tried.acknowledged).toBeGreaterThan(2000)
    expect(tried.states).toBeGreaterThan(60)
  })

  test('is noticed by this test where a disk does not do what a sync says', async () => {
    const tried = await lose(await recordRun(24), (_moment, acknowledged) => acknowledged > 0, (path) => path.endsWith('/log.sqlite-wal'))
    expect(tried.failures).toHaveLength(1)
    expect(tried.failures[0]).toContain('acknowledged')
  })
})
