import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseSlot, commonPrefix, type FreeSlot } from './slot-choice.ts'

const all = (_index: number, count: number): number => count
const none = (): boolean => false
const slot = (index: number, team?: string, tokens: readonly number[] = [], usedAt = 0): FreeSlot => ({ index, held: team === undefined ? undefined : { team, tokens, usedAt } })
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index)

describe('the slot of a request', () => {
  test('is the one of its team that shares the longest beginning', () => {
    const free = [slot(0, 'a', range(0, 50)), slot(1, 'a', range(0, 90)), slot(2, 'b', range(0, 100))]
    expect(chooseSlot(free, { team: 'a', tokens: range(0, 100), now: 0, leastKept: 1, keepable: all, isBusy: none })).toEqual({ index: 1, keep: 90 })
  })

  test('never gains by what another team left', () => {
    const free = [slot(0, 'b', range(0, 100))]
    expect(chooseSlot(free, { team: 'a', tokens: range(0, 100), now: 0, leastKept: 1, keepable: all, isBusy: none })).toEqual({ index: 0, keep: 0 })
  })

  test('leaves the last token of the prompt to be evaluated', () => {
    expect(chooseSlot([slot(0, 'a', [1, 2, 3])], { team: 'a', tokens: [1, 2, 3], now: 0, leastKept: 1, keepable: all, isBusy: none })).toEqual({ index: 0, keep: 2 })
  })

  test('is an empty one rather than one that holds much and shares little', () => {
    const free = [slot(0, 'a', range(0, 1000)), slot(1)]
    expect(chooseSlot(free, { team: 'a', tokens: [0, 1, 2, 9999], now: 0, leastKept: 1, keepable: all, isBusy: none })).toEqual({ index: 1, keep: 0 })
  })

  test('is the least valuable where nothing is shared: short, old, or of a team that holds many', () => {
    const wants = { team: 'x', tokens: [9, 9], leastKept: 1, keepable: all, isBusy: none }
    expect(chooseSlot([slot(0, 'a', range(0, 90)), slot(1, 'b', range(0, 50))], { ...wants, now: 0 })).toMatchObject({ index: 1 })
    expect(chooseSlot([slot(0, 'a', range(0, 90), 0), slot(1, 'b', range(0, 50), 3_600_000)], { ...wants, now: 3_600_000 })).toMatchObject({ index: 0 })
    const many = [slot(0, 'a', range(0, 60)), slot(1, 'b', range(0, 50)), slot(2, 'a', range(0, 60)), slot(3, 'a', range(0, 60))]
    expect(chooseSlot(many, { ...wants, now: 0 })).toMatchObject({ index: 0 })
  })

  test('is kept from as far as the engine can cut it', () => {
    const free = [slot(0, 'a', range(0, 100))]
    expect(chooseSlot(free, { team: 'a', tokens: range(0, 80), now: 0, leastKept: 1, keepable: () => 0, isBusy: none })).toEqual({ index: 0, keep: 0 })
  })

  test('is not kept from for a few tokens', () => {
    const choose = (leastKept: number) => chooseSlot([slot(0, 'a', range(0, 10))], { team: 'a', tokens: range(0, 20), now: 0, leastKept, keepable: all, isBusy: none })
    expect([choose(11)?.keep, choose(10)?.keep]).toEqual([0, 10])
  })

  test('is one between busy slots, or beside one, where what is lost is alike', () => {
    const choose = (free: readonly FreeSlot[], busy: readonly number[]) =>
      chooseSlot(free, { team: 'x', tokens: [9, 9], now: 0, leastKept: 1, keepable: all, isBusy: (index) => busy.includes(index) })?.index
    const free = [0, 2, 4, 7].map((index) => slot(index, 'a', range(0, 50), -index * 1000))
    expect(choose(free, [1, 3, 5, 6])).toBe(4) // of 2 and 4, both between two, the older
    expect(choose(free, [6])).toBe(7)
    expect(choose(free, [])).toBe(7)
    // Nothing that is worth much more is lost for it.
    expect(choose([slot(0, 'a', range(0, 500)), slot(5, 'b', range(0, 50))], [1])).toBe(5)
    expect(choose([slot(0, 'a', range(0, 50)), slot(5)], [1])).toBe(5)
  })

  test('is none when none is free', () => {
    expect(chooseSlot([], { team: 'a', tokens: [1], now: 0, leastKept: 1, keepable: all, isBusy: none })).toBeUndefined()
  })

  const tokens = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 12 })
  const teams = fc.constantFrom('a', 'b', 'c')
  test('whatever is held: one that is free, and what is kept is the team’s own beginning of the prompt', () => {
    const slots = fc.array(fc.option(fc.record({ team: teams, tokens, usedAt: fc.nat(1000) }), { nil: undefined }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(slots, teams, tokens, (held, team, prompt) => {
        const free = held.map((one, index): FreeSlot => ({ index, held: one }))
        const choice = chooseSlot(free, { team, tokens: prompt, now: 2000, leastKept: 1, keepable: all, isBusy: none })
        const chosen = free.find(({ index }) => index === choice?.index)
        expect(chosen).toBeDefined()
        expect(choice?.keep).toBeLessThan(prompt.length)
        if ((choice?.keep ?? 0) > 0) expect(chosen?.held?.team).toBe(team)
        expect(chosen?.held?.tokens.slice(0, choice?.keep) ?? []).toEqual(prompt.slice(0, choice?.keep))
        expect(choice?.keep === 0 || commonPrefix(chosen?.held?.tokens ?? [], prompt) >= (choice?.keep ?? 0)).toBe(true)
      }),
    )
  })

  test('two teams get the same slots, whatever the other one’s tokens are: only lengths and ages tell', () => {
    fc.assert(
      fc.property(fc.array(tokens, { minLength: 1, maxLength: 5 }), tokens, (held, prompt) => {
        const choose = (change: (token: number) => number) =>
          chooseSlot(held.map((one, index) => slot(index, 'b', one.map(change))), { team: 'a', tokens: prompt, now: 0, leastKept: 1, keepable: all, isBusy: none })
        expect(choose((token) => token)).toEqual(choose(() => 7))
      }),
    )
  })
})
