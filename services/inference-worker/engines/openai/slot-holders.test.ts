import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSlotHolders } from './slot-holders.ts'

test('a slot is reused by the team that it answered last, and by no other', () => {
  const holders = createSlotHolders(() => 0)
  const send = (team: string): boolean => {
    const sent = holders.send(0, team)
    sent.answered()
    return sent.mayReuse
  }
  expect([send('a'), send('a'), send('b'), send('a'), send('a')]).toEqual([false, true, false, false, true])
  expect(holders.send(1, 'a').mayReuse).toBe(false)
  holders.clear()
  expect(send('a')).toBe(false)
})

test('a request that begun and was not answered leaves nothing that anybody may reuse', () => {
  const holders = createSlotHolders(() => 0)
  holders.send(0, 'a').answered()
  holders.send(0, 'b').begun()
  expect(holders.send(0, 'b').mayReuse).toBe(false)
})

/**
 * A slot of a server: requests that were given up before they began may begin late, in any order, up to some time after. What the slot holds
 * is what it worked on last.
 */
test('never does a team get what another one has left, whatever is given up and begins late', () => {
  const step = fc.record({ team: fc.constantFrom('a', 'b', 'c'), ends: fc.constantFrom('answered', 'begun', 'unheard'), late: fc.boolean(), waitMs: fc.constantFrom(0, 1000, 29_000, 61_000) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let now = 0
      let held: string | undefined
      let waiting: { team: string; since: number }[] = []
      let reused = 0
      const holders = createSlotHolders(() => now)
      for (const { team, ends, late, waitMs } of steps) {
        now += waitMs
        // The server drops what has not begun within half a minute of its client's leaving.
        waiting = waiting.filter(({ since }) => now - since < 30_000)
        const sent = holders.send(0, team)
        if (sent.mayReuse) {
          reused += 1
          expect(held).toBe(team)
        }
        if (ends === 'unheard') {
          waiting.push({ team, since: now })
        } else {
          held = team
          if (ends === 'answered') sent.answered()
          else sent.begun()
        }
        const next = late ? waiting.shift() : undefined
        if (next !== undefined) held = next.team
      }
      return reused >= 0
    }),
    { numRuns: 2000 },
  )
})
