import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { createSlots, type Slot, type SlotOptions, type SlotRequest } from './slots.ts'

const forever = new AbortController().signal
const request = (team = 'a', more: Partial<SlotRequest> = {}): SlotRequest => ({ team, weight: 1, batch: false, tokens: [1, 2, 3], ...more })

function create(options: Partial<SlotOptions> = {}) {
  const slots = createSlots({ count: 2, spare: 0, maxQueued: 8, queueTimeoutMs: 60_000, leastKept: 1, keepable: (_index, count) => count, now: () => 0, ...options })
  const order: string[] = []
  /** Waits for a slot and says when it comes. */
  const arrive = (name: string, team = name, more: Partial<SlotRequest> = {}) =>
    slots.acquire(request(team, more), forever).then((slot) => {
      order.push(name)
      return slot
    })
  return { slots, order, arrive }
}

describe('slots', () => {
  test('gives each slot once, then those of a team in order of arrival', async () => {
    const { slots, order, arrive } = create()
    const [first, second] = await Promise.all([arrive('1', 'a'), arrive('2', 'a')])
    expect(new Set([first.index, second.index])).toEqual(new Set([0, 1]))
    const third = arrive('3', 'a')
    const fourth = arrive('4', 'a')
    expect([slots.running, slots.queued, slots.queuedByTeam()]).toEqual([2, 2, new Map([['a', 2]])])
    second.release()
    expect((await third).index).toBe(second.index)
    first.release()
    expect((await fourth).index).toBe(first.index)
    expect(order).toEqual(['1', '2', '3', '4'])
    expect([slots.running, slots.queued]).toEqual([2, 0])
  })

  test('whose team was served least comes first', async () => {
    const { order, arrive } = create({ count: 1 })
    const held = await arrive('a1', 'a')
    const waiting = [arrive('a2', 'a'), arrive('a3', 'a'), arrive('b1', 'b')]
    held.charge({ input: 100 })
    held.release()
    const next = await Promise.race(waiting)
    expect(order.at(-1)).toBe('b1')
    next.release()
    await waiting[0]
    expect(order.at(-1)).toBe('a2')
  })

  test('by weight: who has three times the share is served three times as often', async () => {
    const { order, arrive } = create({ count: 1, maxQueued: 100 })
    let held = await arrive('first', 'x')
    const waiting = new Set(Array.from({ length: 20 }, () => [arrive('a', 'a', { weight: 3 }), arrive('b', 'b')]).flat())
    while (order.length < 21) {
      held.charge({ output: 10 })
      held.release()
      held = await Promise.race([...waiting].map((one) => one.then((slot) => (waiting.delete(one), slot))))
    }
    expect(order.filter((name) => name === 'a').length).toBe(15)
    held.release()
  })

  test('work that can wait does', async () => {
    const { order, arrive } = create({ count: 1 })
    const held = await arrive('first', 'x')
    const waiting = [arrive('batch', 'a', { batch: true }), arrive('interactive', 'b')]
    held.release()
    ;(await Promise.race(waiting)).release()
    await Promise.all(waiting)
    expect(order).toEqual(['first', 'interactive', 'batch'])
  })

  test('the spare slot is for a team that has none while all others are taken', async () => {
    const { slots, order, arrive } = create({ count: 2, spare: 1 })
    const held = await Promise.all([arrive('a1', 'a'), arrive('a2', 'a')])
    void arrive('a3', 'a')
    void arrive('later', 'c', { batch: true })
    expect(slots.queued).toBe(2)
    const other = await arrive('b1', 'b')
    expect(other.index).toBe(2)
    void arrive('b2', 'b')
    await new Promise(setImmediate)
    expect([order, slots.running, slots.queued]).toEqual([['a1', 'a2', 'b1'], 3, 3])
    for (const slot of [...held, other]) slot.release()
  })

  test('who leaves a slot leaves what it holds, to its own team alone', async () => {
    const { slots, arrive } = create({ count: 1 })
    const tokens = Array.from({ length: 100 }, (_, index) => index)
    const first = await arrive('a', 'a', { tokens })
    expect(first.keep).toBe(0)
    first.release([...tokens, 7, 8])
    expect(slots.held()).toMatchObject([{ team: 'a', tokens: [...tokens, 7, 8] }])
    const again = await arrive('a', 'a', { tokens: [...tokens, 7, 9, 10] })
    expect(again.keep).toBe(101)
    expect(slots.held()).toEqual([])
    again.release(tokens)
    const other = await arrive('b', 'b', { tokens })
    expect(other.keep).toBe(0)
    other.release()
    expect((await arrive('a', 'a', { tokens })).keep).toBe(0)
  })

  test('a slot that is borrowed keeps what it holds', async () => {
    const { slots, arrive } = create({ count: 1 })
    ;(await arrive('a')).release([1, 2, 3])
    const borrowed = slots.borrow()
    expect(slots.borrow()).toBeUndefined()
    const waiting = arrive('a', 'a', { tokens: [1, 2, 3, 4] })
    borrowed?.giveBack()
    expect((await waiting).keep).toBe(3)
  })

  test('refuses when the queue is full, with an estimate of when a place comes free', async () => {
    let now = 0
    const { slots, arrive } = create({ maxQueued: 1, now: () => now })
    const held = [await arrive('1', 'a'), await arrive('2', 'a')]
    const waiting = arrive('3', 'a')
    await expect(arrive('4', 'a')).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'queue_full', retryAfterMs: 500 })
    now = 6000
    for (const slot of held) slot.release()
    const last = await waiting
    const other = await arrive('5', 'a')
    const queued = arrive('6', 'a')
    await expect(arrive('7', 'a')).rejects.toMatchObject({ retryAfterMs: 3000 })
    last.release()
    other.release()
    ;(await queued).release()
    expect([slots.running, slots.queued]).toEqual([0, 0])
  })

  test('of a full queue, the team that fills it loses the last that came, and the other has its place', async () => {
    const { slots, order, arrive } = create({ count: 1, maxQueued: 3 })
    const held = await arrive('a0', 'a')
    const all = ['a1', 'a2', 'a3', 'b1'].map((name) => arrive(name, name.slice(0, 1)).then((slot) => slot.release()))
    const outcome = Promise.allSettled(all)
    expect(slots.queuedByTeam()).toEqual(new Map([['a', 2], ['b', 1]]))
    held.release()
    expect((await outcome).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect(order).toEqual(expect.arrayContaining(['a1', 'a2', 'b1']))
  })

  test('a wait is ended when it is too long, and not begun when it would be', async () => {
    vi.useFakeTimers()
    try {
      const { slots, arrive } = create({ count: 1, queueTimeoutMs: 5000, maxQueued: 100, now: () => Date.now() })
      // Each holds its slot for a second.
      for (let index = 0; index < 10; index += 1) {
        const slot = await arrive('a')
        vi.advanceTimersByTime(1000)
        slot.release()
      }
      await arrive('a')
      const waiting = Array.from({ length: 6 }, () => arrive('a').catch((thrown: unknown) => thrown))
      await expect(arrive('a')).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'queue_timeout', retryAfterMs: 1000 })
      // Another team needs not wait for all of these.
      const other = arrive('b').catch((thrown: unknown) => thrown)
      expect(slots.queued).toBe(7)
      vi.advanceTimersByTime(5000)
      expect(await Promise.all([...waiting, other])).toEqual(Array.from({ length: 7 }, () => expect.objectContaining({ reason: 'queue_timeout' }) as object))
      expect(slots.queued).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  test('one who leaves the queue gets the reason, and no slot', async () => {
    const { slots, arrive } = create({ count: 1 })
    const held = await arrive('a')
    const leaving = new AbortController()
    const left = slots.acquire(request(), leaving.signal)
    const stays = arrive('a')
    leaving.abort(new Error('gone'))
    await expect(left).rejects.toThrow('gone')
    expect(slots.queued).toBe(1)
    held.release()
    held.release()
    const next = await stays
    expect(slots.running).toBe(1)
    next.release()
    await expect(slots.acquire(request(), leaving.signal)).rejects.toThrow('gone')
    expect(slots.running).toBe(0)
  })

  test('no order of arrivals, ends and leavings loses a slot, gives one twice, or leaves one idle while somebody may have it', async () => {
    const events = fc.array(fc.tuple(fc.constantFrom('arrive', 'end', 'leave', 'borrow'), fc.nat(9), fc.constantFrom('a', 'b', 'c'), fc.boolean()))
    await fc.assert(
      fc.asyncProperty(events, async (all) => {
        const { slots } = create({ count: 3, spare: 1, maxQueued: 4 })
        const held: { slot: Slot; team: string }[] = []
        const requests: { leave: AbortController; settled: Promise<void> }[] = []
        const borrowed: { giveBack(): void }[] = []
        for (const [event, pick, team, batch] of all) {
          if (event === 'arrive') {
            const leave = new AbortController()
            const settled = slots.acquire(request(team, { batch, tokens: [pick, 1, 2] }), leave.signal).then(
              (slot) => void held.push({ slot, team }),
              () => undefined,
            )
            requests.push({ leave, settled })
          } else if (event === 'leave') requests[pick % (requests.length || 1)]?.leave.abort()
          else if (event === 'borrow') {
            const one = borrowed.length > 0 ? undefined : slots.borrow()
            if (one === undefined) borrowed.pop()?.giveBack()
            else borrowed.push(one)
          } else held.splice(pick % (held.length || 1), 1)[0]?.slot.release([pick, 1, 2])
          await new Promise(setImmediate)
          expect(new Set(held.map(({ slot }) => slot.index)).size).toBe(held.length)
          expect(slots.running).toBe(held.length + borrowed.length)
          expect(slots.queued === 0 || slots.running >= 3).toBe(true)
        }
        for (const one of borrowed) one.giveBack()
        for (const { leave } of requests) leave.abort()
        await Promise.all(requests.map(({ settled }) => settled))
        for (const { slot } of held) slot.release()
        expect([slots.running, slots.queued]).toEqual([0, 0])
      }),
    )
  })
})
