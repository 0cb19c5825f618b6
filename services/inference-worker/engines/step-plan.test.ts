import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStepCost, type StepCost } from './step-cost.ts'
import { createDebts, planStep, type Share, type StepEntry } from './step-plan.ts'

/** Takes so many milliseconds, and so many more for each token. */
function cost(fixed: number, perToken: number): StepCost {
  const of = (tokens: number): number => (tokens === 0 ? 0 : fixed + perToken * tokens)
  return {
    of,
    room: (tokens, ms, wanted) => (perToken === 0 ? wanted : Math.max(0, Math.min(wanted, Math.floor((of(tokens) + ms - fixed) / perToken + 1e-9) - tokens))),
    learn: () => undefined,
  }
}
const onGpu = cost(10, 0.01)
const onCpu = cost(0, 10)
const limits = { batchSize: 64, targetMs: 100 }
const share = (served = 0, more: Partial<Share> = {}): Share => ({ weight: 1, batch: false, served, waiting: 0, ...more })
const entry = (from: Share, wanted = 1, lastStep = 0): StepEntry => ({ wanted, share: from, lastStep })
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

describe('one team', () => {
  test('all answers have their token, and prompts what is left, first come first served', () => {
    const a = share()
    const entries = [entry(a, 4000), entry(a), entry(a), entry(a, 4000)]
    expect(planStep(entries, onGpu, { batchSize: 512, targetMs: 100 }, createDebts())).toEqual([510, 1, 1, 0])
  })

  test('a prompt lengthens the steps of answers to no more than the target', () => {
    const a = share()
    expect(planStep([entry(a, 4000), entry(a)], cost(10, 2), limits, createDebts())).toEqual([44, 1])
    expect(planStep([entry(a, 4000)], cost(10, 5), limits, createDebts())).toEqual([58])
    expect(planStep([entry(a, 4000)], cost(10, 1), limits, createDebts())).toEqual([64])
    // But it goes on, however slow the machine is.
    expect(planStep([entry(a, 4000), entry(a)], cost(10, 500), limits, createDebts())).toEqual([32, 1])
  })
})

describe('teams', () => {
  test('all come along where more tokens cost next to nothing', () => {
    const [a, b] = [share(100), share(0)]
    expect(planStep([entry(a), entry(a), entry(a), entry(b)], onGpu, limits, createDebts())).toEqual([1, 1, 1, 1])
  })

  test('where a step costs as much as its tokens, a team with many requests does not slow down one with a single request to less than half', () => {
    const [many, one] = [share(0, { waiting: 9 }), share(100)]
    const debts = createDebts()
    const lastSteps = [0, 0, 0, 0]
    const tokens = [0, 0, 0, 0, 0]
    for (let step = 1; step <= 400; step += 1) {
      const grants = planStep([...lastSteps.map((last) => entry(many, 1, last)), entry(one)], onCpu, limits, debts)
      grants.forEach((grant, index) => {
        tokens[index] = (tokens[index] ?? 0) + grant
        if (grant > 0 && index < 4) lastSteps[index] = step
      })
    }
    expect(tokens[4]).toBe(400)
    // Half a token a step, in turn.
    expect(sum(tokens.slice(0, 4))).toBe(200)
    for (const of of tokens.slice(0, 4)) expect(of).toBe(50)
  })

  test('nor does its long prompt', () => {
    const [many, one] = [share(0, { waiting: 9 }), share(100)]
    const debts = createDebts()
    const grants = Array.from({ length: 640 }, () => planStep([entry(many, 4000), entry(one)], onCpu, limits, debts)[0] ?? 0)
    // Half a token a step, in pieces that are worth it.
    expect(sum(grants)).toBe(320)
    expect(new Set(grants)).toEqual(new Set([0, 32]))
  })

  test('of two that want as much, who was served less comes first: so they take turns', () => {
    const served = [0, 0]
    const teams = served.map((_, index): Share => ({ weight: 1, batch: false, waiting: 9, get served() { return served[index] ?? 0 } }))
    const debts = createDebts()
    for (let step = 0; step < 200; step += 1) {
      const entries = teams.flatMap((one) => Array.from({ length: 4 }, () => entry(one)))
      planStep(entries, onCpu, limits, debts).forEach((grant, index) => (served[Math.floor(index / 4)] = (served[Math.floor(index / 4)] ?? 0) + grant))
    }
    expect(Math.abs((served[0] ?? 0) - (served[1] ?? 0))).toBeLessThanOrEqual(4)
  })

  test('work that can wait slows others down less', () => {
    const [one, batch] = [share(100), share(0, { batch: true })]
    const debts = createDebts()
    const grants = Array.from({ length: 40 }, () => planStep([entry(batch), entry(one)], onCpu, limits, debts))
    expect(grants.every(([, first]) => first === 1)).toBe(true)
    expect(sum(grants.map(([waiting]) => waiting ?? 0))).toBe(8)
  })
})

test('somebody always goes on, nobody gets more than they want, and a batch holds it', () => {
  const shares = [share(0), share(5), share(3, { weight: 3 }), share(0, { batch: true })]
  const entries = fc.array(fc.record({ wanted: fc.integer({ min: 1, max: 500 }), team: fc.nat(3), lastStep: fc.nat(5) }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(entries, fc.double({ min: 0, max: 50, noNaN: true }), fc.double({ min: 0, max: 50, noNaN: true }), (all, fixed, perToken) => {
      const list = all.map(({ wanted, team, lastStep }) => entry(shares[team] as Share, wanted, lastStep))
      const grants = planStep(list, cost(fixed, perToken), limits, createDebts())
      expect(sum(grants)).toBeGreaterThanOrEqual(1)
      expect(sum(grants)).toBeLessThanOrEqual(limits.batchSize)
      grants.forEach((grant, index) => {
        expect(Number.isInteger(grant) && grant >= 0).toBe(true)
        expect(grant).toBeLessThanOrEqual(list[index]?.wanted ?? 0)
      })
    }),
  )
})

test('however little a team may add to a step, it gets its turn', () => {
  const [slow, fast] = [share(1, { weight: 0.001 }), share(0)]
  const debts = createDebts()
  let steps = 0
  while (planStep([entry(slow), entry(fast)], onCpu, limits, debts)[0] === 0) steps += 1
  expect(steps).toBeLessThan(2100)
})

describe('the cost of steps', () => {
  test('is learnt, the fixed part and that of each token', () => {
    const learnt = createStepCost()
    for (let step = 0; step < 2000; step += 1) learnt.learn(40 + (step % 16), 12 + 5 * (40 + (step % 16)))
    expect(learnt.of(100)).toBeCloseTo(512, 1)
    expect(learnt.room(100, 50.5, 1000)).toBe(10)
  })

  test('of steps that are all alike, half is taken for the tokens', () => {
    const learnt = createStepCost()
    for (let step = 0; step < 50; step += 1) learnt.learn(1, 20)
    expect(learnt.of(1)).toBeCloseTo(20)
    expect(learnt.of(3)).toBeCloseTo(40)
    expect(learnt.room(1, 20.5, 100)).toBe(2)
  })

  test('of few tokens is what such steps took, be it no straight line', () => {
    const learnt = createStepCost()
    for (let step = 0; step < 300; step += 1) for (const [tokens, ms] of [[1, 8], [2, 26], [4, 30]] as const) learnt.learn(tokens, ms)
    expect(learnt.of(2)).toBeCloseTo(26)
    expect(learnt.room(1, 10, 1)).toBe(0)
    expect(learnt.room(1, 18.5, 1)).toBe(1)
    expect(learnt.room(1, 22.5, 3)).toBe(3)
  })

  test('is some number whatever is measured, and room is never more than wanted', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 512 }), fc.double({ min: 0.001, max: 1e4, noNaN: true })), { minLength: 1 }), fc.nat(600), fc.double({ min: -10, max: 1e4, noNaN: true }), fc.nat(600), (steps, tokens, ms, wanted) => {
        const learnt = createStepCost()
        for (const [count, took] of steps) learnt.learn(count, took)
        expect(Number.isFinite(learnt.of(tokens))).toBe(true)
        expect(learnt.room(tokens, ms, wanted)).toBeLessThanOrEqual(wanted)
        expect(learnt.room(tokens, ms, wanted)).toBeGreaterThanOrEqual(0)
      }),
    )
  })
})
