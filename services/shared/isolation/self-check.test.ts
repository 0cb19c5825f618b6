import { expect, test } from 'vitest'
import type { Observation, Result } from './observation.ts'
import { type SelfCheck, startSelfCheck } from './self-check.ts'
import { parseTarget, type Target } from './target.ts'

const outside = ['tcp:192.0.2.1:443', 'tcp:169.254.169.254:80'].map(parseTarget).filter((target): target is Target => target !== undefined)

/** A check whose attempts come out as a list says, the last for ever; time passes only while it pauses. */
function bench(script: Result[][], settleMs = 2000) {
  let time = 0
  let wake: (() => void) | undefined
  const state = { checks: 0, told: [] as string[], counts: [] as number[], paused: [] as number[] }
  const note = (_: object, message?: string): void => void state.told.push(message ?? '')
  const started = startSelfCheck({
    outside,
    settleMs,
    intervalMs: 60_000,
    attemptAll(targets): Promise<Observation[]> {
      const results = script[Math.min(state.checks, script.length - 1)] ?? []
      state.checks += 1
      return Promise.resolve(targets.map((_, place) => ({ result: results[place] ?? 'silent', code: '', ms: 1 })))
    },
    log: { debug: note, info: note, warn: note, error: note },
    now: () => time,
    pause(ms) {
      state.paused.push(ms)
      time += ms
      return ms > 500 ? new Promise((resolve) => (wake = resolve)) : Promise.resolve()
    },
    onChecked: (reached) => state.counts.push(reached),
  })
  /** Lets the next check of the interval happen. */
  const next = async (check: SelfCheck): Promise<string | undefined> => {
    await expect.poll(() => wake).toBeDefined()
    const before = state.checks
    wake?.()
    wake = undefined
    await expect.poll(() => state.checks > before && wake !== undefined).toBe(true)
    return check.reached
  }
  return { started, state, next }
}

test('held back at once', async () => {
  const { started, state } = bench([['silent', 'rejected']])
  expect((await started).reached).toBeUndefined()
  expect(state).toMatchObject({ checks: 1, counts: [0] })
})

test('policies that come a moment later are waited for', async () => {
  const { started, state } = bench([['reached', 'silent'], ['reached', 'silent'], ['silent', 'silent']])
  expect((await started).reached).toBeUndefined()
  expect(state).toMatchObject({ checks: 3, counts: [1, 1, 0], paused: [500, 500, 60_000] })
})

test('and not for ever; what was reached is told', async () => {
  const { started, state } = bench([['reached', 'reached']])
  const check = await started
  expect(check.reached).toBe('tcp:192.0.2.1:443, tcp:169.254.169.254:80')
  expect(state.checks).toBe(5)
  check.close()
})

test('a refusal is a wall where somebody surely listens, and a host at the metadata address', async () => {
  const check = await bench([['refused', 'refused']], 0).started
  expect(check.reached).toBe('tcp:169.254.169.254:80')
  check.close()
})

test('it is tried again and again, and a change told once', async () => {
  const { started, state, next } = bench([['silent'], ['reached'], ['reached'], ['silent']])
  const check = await started
  expect(await next(check)).toBe('tcp:192.0.2.1:443')
  expect(await next(check)).toBe('tcp:192.0.2.1:443')
  expect(await next(check)).toBeUndefined()
  expect(state.told.filter((message) => message.includes('THE OUTSIDE CAN BE REACHED'))).toHaveLength(1)
  expect(state.told.filter((message) => message.includes('any more'))).toHaveLength(1)
  check.close()
})
