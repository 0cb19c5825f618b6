import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRefusals, type Refusal } from './refusals.ts'

const refusal = (more: Partial<Refusal> = {}): Refusal => ({ team: '', keyId: '', source: '10.0.0.1', endpoint: 'POST /v1/chat/completions', reason: 'invalid_api_key', ...more })

/** With a clock that the test turns on. */
function bench() {
  const records: (Refusal & { count: number; at: number })[] = []
  let time = 0
  let timer: { run: () => void; at: number } | undefined
  const refusals = createRefusals({
    record: (refused) => records.push({ ...refused, at: time }),
    now: () => time,
    schedule(run, ms) {
      timer = { run, at: time + ms }
      return () => (timer = undefined)
    },
  })
  return {
    refusals,
    records,
    get waits() {
      return timer !== undefined
    },
    pass(ms: number) {
      const end = time + ms
      while (timer !== undefined && timer.at <= end) {
        const { run, at } = timer
        timer = undefined
        time = at
        run()
      }
      time = end
    },
  }
}

test('the first is told at once, others together a second later, each kind by itself', () => {
  const { refusals, records, pass } = bench()
  for (let at = 0; at < 5; at += 1) refusals.note(refusal())
  refusals.note(refusal({ source: '10.0.0.2' }))
  refusals.note(refusal({ source: '', team: 'a', reason: 'queue_full' }))
  expect(records.map(({ count, source }) => [count, source])).toEqual([[1, '10.0.0.1'], [1, '10.0.0.2'], [1, '']])
  pass(1000)
  expect(records.slice(3)).toEqual([{ ...refusal(), count: 4, at: 1000 }])
})

test('while it goes on it is told less and less often, and anew when it was quiet', () => {
  const run = bench()
  for (let second = 0; second < 600; second += 1) {
    run.refusals.note(refusal())
    run.pass(1000)
  }
  expect(run.records.length).toBeLessThan(20)
  expect(run.records.slice(0, 4).map(({ at }) => at)).toEqual([0, 2000, 4000, 8000])
  run.pass(200_000)
  expect(run.waits).toBe(false)
  expect(run.records.reduce((sum, { count }) => sum + count, 0)).toBe(600)
  const before = run.records.length
  run.refusals.note(refusal())
  expect(run.records.length).toBe(before + 1)
})

test('a flood from everywhere takes a few records a second, and every request of it is counted', () => {
  const { refusals, records, pass } = bench()
  const seconds = 120
  for (let second = 0; second < seconds; second += 1) {
    for (let at = 0; at < 200; at += 1) refusals.note(refusal({ source: `10.${second}.0.${at}` }))
    pass(1000)
  }
  expect(records.length).toBeLessThan(64 + seconds * 10)
  refusals.flush()
  expect(records.reduce((sum, { count }) => sum + count, 0)).toBe(seconds * 200)
  expect(records.find(({ source }) => source === '')).toMatchObject({ reason: 'invalid_api_key', endpoint: '', team: '' })
})

test('none is lost, whatever comes when', () => {
  const step = fc.record({ source: fc.constantFrom('a', 'b', 'c'), reason: fc.constantFrom('invalid_api_key', 'queue_full'), times: fc.nat(5), ms: fc.nat(70_000) })
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const { refusals, records, pass } = bench()
      let noted = 0
      for (const { source, reason, times, ms } of steps) {
        for (let at = 0; at < times; at += 1) refusals.note(refusal({ source, reason }))
        noted += times
        pass(ms)
      }
      refusals.flush()
      expect(records.every(({ count }) => count > 0)).toBe(true)
      expect(records.reduce((sum, { count }) => sum + count, 0)).toBe(noted)
    }),
  )
})
