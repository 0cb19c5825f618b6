import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSteps, share } from './step.ts'

const forever = new AbortController().signal

describe('sharing out a batch', () => {
  test('everybody gets something, nobody more than they want, and nothing is left that somebody wants', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 64 }), fc.nat(4096), (wants, extra) => {
        const size = wants.length + extra
        const grants = share(wants, size)
        const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
        grants.forEach((grant, index) => {
          expect(grant).toBeGreaterThanOrEqual(1)
          expect(grant).toBeLessThanOrEqual(wants[index] ?? 0)
        })
        expect(sum(grants)).toBe(Math.min(sum(wants), size))
      }),
    )
  })

  test('tokens being decoded never wait for a prompt', () => {
    expect(share([4000, 1, 1, 4000], 512)).toEqual([255, 1, 1, 255])
  })
})

describe('steps', () => {
  test('those who come while a step is under way share the next one', async () => {
    const steps = createSteps({ batchSize: 8, now: () => 5 })
    const order: string[] = []
    const join = (name: string, wanted: number) => steps.join(wanted, forever).then((granted) => order.push(`${name} ${granted}`))
    await join('first', 20)
    expect(steps.startedAt).toBe(5)
    const others = [join('second', 1), join('third', 9)]
    await new Promise(setImmediate)
    expect(order).toEqual(['first 8'])
    steps.done()
    expect(steps.startedAt).toBeUndefined()
    await Promise.all(others)
    expect(order).toEqual(['first 8', 'second 1', 'third 7'])
    steps.done()
    expect(steps.startedAt).toBe(5)
    steps.done()
    expect(steps.startedAt).toBeUndefined()
  })

  test('a step ends for all when its last member is done, so that all join the next', async () => {
    const steps = createSteps({ batchSize: 8, now: () => 0 })
    await Promise.all([steps.join(1, forever), steps.join(1, forever)])
    steps.done()
    let joined = false
    const early = steps.join(1, forever).then(() => (joined = true))
    await new Promise(setImmediate)
    expect(joined).toBe(false)
    steps.done()
    const late = steps.join(1, forever)
    await Promise.all([early, late])
  })

  test('one who gives up while waiting is in no step', async () => {
    const steps = createSteps({ batchSize: 8, now: () => 0 })
    await steps.join(1, forever)
    const leaving = new AbortController()
    const left = steps.join(1, leaving.signal)
    leaving.abort()
    expect(await left).toBe(0)
    expect(await steps.join(1, leaving.signal)).toBe(0)
    steps.done()
    await new Promise(setImmediate)
    expect(steps.startedAt).toBeUndefined()
    expect(await steps.join(3, forever)).toBe(3)
  })
})
