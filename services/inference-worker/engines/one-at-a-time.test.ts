import { expect, test } from 'vitest'
import { oneAtATime } from './one-at-a-time.ts'

test('calls never overlap, keep their order, and a failed one holds up nobody', async () => {
  let running = 0
  const order: number[] = []
  const call = oneAtATime(async (index: number) => {
    running += 1
    expect(running).toBe(1)
    await new Promise(setImmediate)
    order.push(index)
    running -= 1
    if (index === 1) throw new Error('failed')
    return index
  })
  const results = await Promise.allSettled([0, 1, 2, 3].map(call))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  expect(order).toEqual([0, 1, 2, 3])
})
