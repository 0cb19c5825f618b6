import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSlots, type Slot } from './slots.ts'

const forever = new AbortController().signal

describe('slots', () => {
  test('gives each slot once, then queues in order of arrival', async () => {
    const slots = createSlots({ count: 2, maxQueued: 8, now: () => 0 })
    const [first, second] = await Promise.all([slots.acquire(forever), slots.acquire(forever)])
    expect(new Set([first.index, second.index])).toEqual(new Set([0, 1]))
    const order: string[] = []
    const third = slots.acquire(forever).then((slot) => (order.push('third'), slot))
    const fourth = slots.acquire(forever).then((slot) => (order.push('fourth'), slot))
    expect([slots.running, slots.queued]).toEqual([2, 2])
    second.release()
    expect((await third).index).toBe(second.index)
    first.release()
    expect((await fourth).index).toBe(first.index)
    expect(order).toEqual(['third', 'fourth'])
    expect([slots.running, slots.queued]).toEqual([2, 0])
  })

  test('refuses when the queue is full, with an estimate of when a place comes free', async () => {
    let now = 0
    const slots = createSlots({ count: 2, maxQueued: 1, now: () => now })
    const held = [await slots.acquire(forever), await slots.acquire(forever)]
    const waiting = slots.acquire(forever)
    await expect(slots.acquire(forever)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'queue_full',
      retryAfterMs: 500,
    })
    now = 6000
    for (const slot of held) slot.release()
    const last = await waiting
    const other = await slots.acquire(forever)
    const queued = slots.acquire(forever)
    await expect(slots.acquire(forever)).rejects.toMatchObject({ retryAfterMs: 3000 })
    last.release()
    other.release()
    ;(await queued).release()
    expect([slots.running, slots.queued]).toEqual([0, 0])
  })

  test('one who leaves the queue gets the reason, and no slot', async () => {
    const slots = createSlots({ count: 1, maxQueued: 8, now: () => 0 })
    const held = await slots.acquire(forever)
    const leaving = new AbortController()
    const left = slots.acquire(leaving.signal)
    const stays = slots.acquire(forever)
    leaving.abort(new Error('gone'))
    await expect(left).rejects.toThrow('gone')
    expect(slots.queued).toBe(1)
    held.release()
    held.release()
    const next = await stays
    expect(slots.running).toBe(1)
    next.release()
    await expect(slots.acquire(leaving.signal)).rejects.toThrow('gone')
    expect(slots.running).toBe(0)
  })

  test('no order of arrivals, ends and leavings loses a slot or gives one twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('arrive', 'end', 'leave'), fc.nat(9))), async (events) => {
        const slots = createSlots({ count: 3, maxQueued: 4, now: () => 0 })
        const held: Slot[] = []
        const all: { leave: AbortController; settled: Promise<void> }[] = []
        for (const [event, pick] of events) {
          if (event === 'arrive') {
            const leave = new AbortController()
            const settled = slots.acquire(leave.signal).then(
              (slot) => void held.push(slot),
              () => undefined,
            )
            all.push({ leave, settled })
          } else if (event === 'leave') all[pick % (all.length || 1)]?.leave.abort()
          else held.splice(pick % (held.length || 1), 1)[0]?.release()
          await new Promise(setImmediate)
          expect(new Set(held.map(({ index }) => index)).size).toBe(held.length)
          expect(slots.running).toBe(held.length)
          expect(slots.queued === 0 || slots.running === 3).toBe(true)
        }
        for (const { leave } of all) leave.abort()
        await Promise.all(all.map(({ settled }) => settled))
        for (const slot of held) slot.release()
        expect([slots.running, slots.queued]).toEqual([0, 0])
      }),
    )
  })
})
