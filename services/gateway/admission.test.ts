import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createAdmission } from './admission.ts'

const open = new AbortController().signal

describe('admission', () => {
  test('admits up to the limit at once and the next when one leaves', async () => {
    const admission = createAdmission({ maxConcurrent: 2, maxQueued: 10, queueTimeoutMs: 10_000 })
    const leave = await admission.enter('a', open)
    await admission.enter('a', open)
    const third = admission.enter('a', open)
    expect([admission.running, admission.queued]).toEqual([2, 1])
    leave()
    leave() // leaving twice frees one place only
    await third
    expect([admission.running, admission.queued]).toEqual([2, 0])
  })

  test('refuses with a time to retry after when the queue is full', async () => {
    const admission = createAdmission({ maxConcurrent: 1, maxQueued: 1, queueTimeoutMs: 10_000 })
    await admission.enter('a', open)
    void admission.enter('a', open)
    const failure: unknown = await admission.enter('b', open).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'queue_full' })
    expect((failure as { retryAfterMs: number }).retryAfterMs).toBeGreaterThanOrEqual(1000)
  })

  test('of a full queue, the team that fills it loses the last that came, and another has its place', async () => {
    const admission = createAdmission({ maxConcurrent: 1, maxQueued: 3, queueTimeoutMs: 10_000 })
    const leave = await admission.enter('flood', open)
    const enter = async (team: string): Promise<string> => {
      const done = await admission.enter(team, open)
      done()
      return team
    }
    const outcome = Promise.allSettled([enter('flood'), enter('flood'), enter('flood'), enter('calm')])
    expect(admission.queued).toBe(3)
    leave()
    expect((await outcome).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect([admission.running, admission.queued]).toEqual([0, 0])
  })

  test('gives up on a request that waited too long', async () => {
    const admission = createAdmission({ maxConcurrent: 1, maxQueued: 5, queueTimeoutMs: 5 })
    await admission.enter('a', open)
    await expect(admission.enter('a', open)).rejects.toMatchObject({ reason: 'queue_timeout' })
    expect(admission.queued).toBe(0)
  })

  test('forgets a waiting request whose client went away', async () => {
    const admission = createAdmission({ maxConcurrent: 1, maxQueued: 5, queueTimeoutMs: 10_000 })
    const leave = await admission.enter('a', open)
    const abort = new AbortController()
    const gone = admission.enter('b', abort.signal)
    abort.abort(new Error('gone'))
    await expect(gone).rejects.toThrow('gone')
    leave()
    expect([admission.running, admission.queued]).toEqual([0, 0])
  })

  test('serves teams in turns: one that floods the queue delays itself', async () => {
    const admission = createAdmission({ maxConcurrent: 1, maxQueued: 100, queueTimeoutMs: 10_000 })
    const order: string[] = []
    const leave = await admission.enter('flood', open)
    const enter = async (team: string): Promise<void> => {
      const done = await admission.enter(team, open)
      order.push(team)
      done()
    }
    const all = [...Array.from({ length: 5 }, () => enter('flood')), enter('calm'), enter('calm')]
    leave()
    await Promise.all(all)
    expect(order).toEqual(['flood', 'calm', 'flood', 'calm', 'flood', 'flood', 'flood'])
  })

  test('never exceeds its limits and loses nobody, whatever comes and goes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ team: fc.constantFrom('a', 'b', 'c'), leavesAfter: fc.nat(4), gone: fc.boolean() }), { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (requests, maxConcurrent) => {
        const admission = createAdmission({ maxConcurrent, maxQueued: 20, queueTimeoutMs: 10_000 })
        let most = 0
        let settled = 0
        await Promise.all(
          requests.map(async ({ team, leavesAfter, gone }) => {
            const abort = new AbortController()
            if (gone) setImmediate(() => abort.abort(new Error('gone')))
            try {
              const leave = await admission.enter(team, abort.signal)
              most = Math.max(most, admission.running)
              for (let i = 0; i < leavesAfter; i += 1) await new Promise((resolve) => setImmediate(resolve))
              leave()
            } catch {
              // refused or gone
            }
            settled += 1
          }),
        )
        expect(most).toBeLessThanOrEqual(maxConcurrent)
        expect(settled).toBe(requests.length)
        expect([admission.running, admission.queued]).toEqual([0, 0])
      }),
    )
  })
})
