import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createFairShares } from './fair-shares.ts'

describe('virtual token counters', () => {
  test('a decoded token counts twice an evaluated one, by weight', () => {
    const shares = createFairShares()
    const light = shares.enter('light', 1, false)
    const heavy = shares.enter('heavy', 4, false)
    shares.charge(light, { input: 10, output: 5 })
    shares.charge(heavy, { input: 10, output: 5 })
    expect([light.served, heavy.served]).toEqual([20, 5])
  })

  test('who comes back from idle has no credit for it', () => {
    const shares = createFairShares()
    const busy = shares.enter('busy', 1, false)
    const early = shares.enter('early', 1, false)
    shares.leave(early)
    shares.charge(busy, { input: 1000 })
    expect(shares.enter('early', 1, false).served).toBe(1000)
    expect(shares.enter('new', 1, false).served).toBe(1000)
  })

  test('nor is what it took more than others forgotten when it leaves for a moment', () => {
    const shares = createFairShares()
    shares.enter('other', 1, false)
    const greedy = shares.enter('greedy', 1, false)
    shares.charge(greedy, { output: 500 })
    shares.leave(greedy)
    expect(shares.enter('greedy', 1, false).served).toBe(1000)
  })

  test('after a time without anybody, all begin where the last left', () => {
    const shares = createFairShares()
    const last = shares.enter('last', 1, false)
    shares.charge(last, { input: 70 })
    shares.leave(last)
    expect(shares.enter('other', 1, false).served).toBe(70)
  })

  test('the two priorities of a team are counted apart', () => {
    const shares = createFairShares()
    const interactive = shares.enter('a', 1, false)
    const batch = shares.enter('a', 1, true)
    shares.charge(batch, { output: 50 })
    expect(interactive.served).toBe(0)
    expect(shares.enter('a', 1, false)).toBe(interactive)
    expect(interactive.requests).toBe(2)
  })

  test('between two teams that always want more, what each was served never parts by more than the largest request', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ a: fc.integer({ min: 1, max: 400 }), b: fc.integer({ min: 1, max: 400 }) }), { minLength: 1, maxLength: 60 }), (sizes) => {
        const shares = createFairShares()
        const a = shares.enter('a', 1, false)
        const b = shares.enter('b', 1, false)
        for (const size of sizes) {
          const next = a.served <= b.served ? a : b
          shares.charge(next, { input: next === a ? size.a : size.b })
          expect(Math.abs(a.served - b.served)).toBeLessThanOrEqual(400)
        }
      }),
    )
  })
})
