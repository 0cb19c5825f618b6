import fc from 'fast-check'
import { expect, test } from 'vitest'
import { trend } from './trend.ts'

const hundred = Array.from({ length: 100 }, (_, index) => index)

test('a line is found as it is', () => {
  fc.assert(
    fc.property(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: -1000, max: 1000 }), (slope, start) => {
      const found = trend(hundred.map((x) => ({ x, y: start + slope * x })))
      expect(found.slope).toBeCloseTo(slope, 6)
      expect(found.margin).toBeCloseTo(0, 6)
    }),
  )
})

test('the slope of a line with noise on it is within its margin nearly always', () => {
  let state = 1
  const noise = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647 - 0.5
  let within = 0
  for (let run = 0; run < 400; run += 1) {
    const { slope, margin } = trend(hundred.map((x) => ({ x, y: 0.02 * x + noise() })))
    if (Math.abs(slope - 0.02) <= margin) within += 1
  }
  expect(within).toBeGreaterThan(360)
  expect(within).toBeLessThan(400)
})

test('a saw-tooth has no slope, a stair that only climbs has one', () => {
  const saw = trend(hundred.map((x) => ({ x, y: x % 8 })))
  expect(Math.abs(saw.slope)).toBeLessThanOrEqual(saw.margin)
  const stair = trend(hundred.map((x) => ({ x, y: Math.floor(x / 20) })))
  expect(stair.slope - stair.margin).toBeGreaterThan(0)
})

test('from too little nothing is known', () => {
  expect(trend(hundred.slice(0, 11).map((x) => ({ x, y: x }))).margin).toBe(Number.POSITIVE_INFINITY)
  expect(trend(hundred.map(() => ({ x: 1, y: 2 }))).margin).toBe(Number.POSITIVE_INFINITY)
})
