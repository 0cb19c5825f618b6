import { expect, test } from 'vitest'
import { type Anchor, AnchorConflictError, AnchorError } from './anchor.ts'
import { type CopiesOptions, startCopies } from './copies.ts'
import { createGrowingLog, Pauses } from './test-support/growing-log.ts'

function setUp(put: (size: number) => void): { pauses: Pauses; told: string[]; metrics: string[]; put: number[]; grow(size: number): void; close(): Promise<void>; tick(ms: number): void } {
  const log = createGrowingLog('a')
  const pauses = new Pauses()
  const told: string[] = []
  const metrics: string[] = []
  const sizes: number[] = []
  let now = 1000
  let newest: ReturnType<typeof log.checkpoint> | undefined
  const anchor: Anchor = {
    name: 'worm',
    kind: 'folder',
    put: async ({ size }) => {
      sizes.push(size)
      put(size)
    },
    close: () => void told.push('closed'),
  }
  const tell = (level: string) => (fields: unknown, text?: string) => void told.push(`${level}: ${text} ${JSON.stringify(fields)}`)
  const options: CopiesOptions = {
    anchors: [{ anchor, intervalMs: 60_000 }],
    newest: () => Promise.resolve(newest),
    log: { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') },
    metrics: {
      current: (_name, { size, atMs }) => void metrics.push(`${size} at ${atMs}`),
      failed: () => void metrics.push('failed'),
      alarm: () => void metrics.push('alarm'),
    },
    clock: () => now,
    pause: pauses.pause,
  }
  const copies = startCopies(options)
  return { pauses, told, metrics, put: sizes, grow: (size) => void (newest = log.checkpoint(size)), close: () => copies.close(), tick: (ms) => void (now += ms) }
}

test('the newest checkpoint is copied when its time has come, and not twice', async () => {
  const bench = setUp(() => undefined)
  await bench.pauses.reached()
  bench.grow(5)
  await bench.pauses.next()
  await bench.pauses.next()
  bench.grow(9)
  await bench.pauses.next()
  expect(bench.put).toEqual([5, 9])
  expect(bench.metrics).toEqual(['5 at 1000', '5 at 1000', '9 at 1000'])
  expect(bench.pauses.waits).toEqual([60_000, 60_000, 60_000, 60_000])
  await bench.close()
  expect(bench.told).toEqual(['closed'])
})

test('failures are tried again ever more rarely, with the newest, told once and each hour, and when they are over', async () => {
  let fails = true
  const bench = setUp(() => {
    if (fails) throw new AnchorError('The folder could not be written (ENOSPC).')
  })
  await bench.pauses.reached()
  for (let round = 1; round <= 11; round++) {
    bench.grow(round)
    await bench.pauses.next()
  }
  expect(bench.pauses.waits.slice(1)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((seconds) => seconds * 1000))
  expect(bench.told).toEqual([expect.stringMatching(/^warn: a checkpoint could not be copied .*ENOSPC/)])
  bench.tick(3_600_000)
  await bench.pauses.next()
  expect(bench.told).toHaveLength(2)
  fails = false
  await bench.pauses.next()
  expect(bench.told.at(-1)).toMatch(/^info: checkpoints are copied again/)
  expect(bench.put.at(-1)).toBe(11)
  expect(bench.metrics.filter((line) => line === 'failed')).toHaveLength(12)
  expect(bench.metrics).not.toContain('alarm')
  expect(bench.pauses.waits.at(-1)).toBe(60_000)
  await bench.close()
})

test('a place with another log is an alarm', async () => {
  const bench = setUp(() => {
    throw new AnchorConflictError('The folder has another checkpoint of 5 records than the log.')
  })
  await bench.pauses.reached()
  bench.grow(5)
  await bench.pauses.next()
  expect(bench.told).toEqual([expect.stringMatching(/^error: a write-once copy of a checkpoint is not of this audit log .*another checkpoint/)])
  expect(bench.metrics).toEqual(['failed', 'alarm'])
  await bench.close()
})
