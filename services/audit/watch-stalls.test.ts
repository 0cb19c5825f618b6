import { afterEach, expect, test, vi } from 'vitest'
import type { Entry } from './records/record.ts'
import { watchStalls } from './watch-stalls.ts'

afterEach(() => void vi.useRealTimers())

test('a standstill that is longer than an append may take is recorded once, from its beginning; shorter ones and a clock that is set are not', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  let now = 0
  let setBy = 0
  const entries: Entry[] = []
  const warnings: unknown[] = []
  const stop = watchStalls({
    append(more) {
      entries.push(...more)
      return Promise.resolve(0)
    },
    limitMs: 2000,
    monotonic: () => now,
    clock: () => Date.UTC(2026, 0, 2) + now + setBy,
    log: { warn: (fields: unknown) => void warnings.push(fields) },
  })
  const tick = (ms: number): void => {
    now += ms
    vi.advanceTimersByTime(500)
  }
  for (const ms of [500, 700, 2000, 500]) tick(ms)
  setBy = 3_600_000
  tick(500)
  expect(entries).toEqual([])
  tick(9000)
  tick(500)
  expect(entries).toEqual([{ type: 'log.gap', from: '2026-01-02T01:00:04.200Z', reason: 'slow', refused: 0, unrecorded: 0 }])
  expect(warnings).toEqual([{ stoodMs: 9000 }])
  stop()
  tick(9000)
  expect(entries).toHaveLength(1)
})
