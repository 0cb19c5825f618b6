import { describe, expect, test } from 'vitest'
import { createDecodeSteps } from './engines/decode-steps.ts'
import { createSlots } from './slots.ts'

const forever = new AbortController().signal
const slots = 4

interface Asked {
  team: string
  prompt: number
  answer: number
  batch?: boolean
}

/** A worker's slots and steps over a clock that only decode steps move: so many milliseconds for a step, and for each token in it. */
function worker(fixed: number, perToken: number) {
  let clock = 0
  const now = (): number => clock
  const all = createSlots({ count: slots, spare: 1, maxQueued: 1000, queueTimeoutMs: 1e9, leastKept: 16, keepable: (_index, count) => count, now })
  const steps = createDecodeSteps({
    batchSize: 64,
    targetMs: 100,
    now,
    async decode(entries) {
      await new Promise(setImmediate)
      clock += fixed + perToken * entries.reduce((sum, { tokens }) => sum + tokens.length, 0)
      return entries.flatMap(({ logits, sequence }) => (logits ? [sequence] : []))
    },
  })
  let unique = 0

  /** Milliseconds until the answer is whole; ends early with the signal. */
  async function ask({ team, prompt, answer, batch = false }: Asked, signal = forever): Promise<number> {
    const begin = clock
    unique += prompt
    const first = unique
    const tokens = Array.from({ length: prompt }, (_, index) => first + index)
    const slot = await all.acquire({ team, weight: 1, batch, tokens }, signal)
    try {
      slot.charge({ input: prompt })
      for (let token = 0; token < answer && !signal.aborted; token += 1) {
        const evaluation = { sequence: slot.index, position: 0, share: slot.share, read: async () => true, onProgress: () => undefined, onFailure: () => undefined }
        await steps.evaluate({ ...evaluation, tokens: token === 0 ? Uint32Array.from(tokens) : Uint32Array.of(1) }, signal)
        slot.charge({ output: 1 })
      }
    } finally {
      slot.release()
    }
    return clock - begin
  }

  async function oneAfterTheOther(count: number, asked: Asked): Promise<number[]> {
    const times: number[] = []
    for (let index = 0; index < count; index += 1) {
      times.push(await ask(asked))
      // A moment passes before it asks again.
      await new Promise(setImmediate)
    }
    return times.toSorted((a, b) => a - b)
  }

  return { ask, oneAfterTheOther, now }
}

const p95 = (sorted: readonly number[]): number => sorted[Math.ceil(0.95 * sorted.length) - 1] ?? 0

const machines: [string, number, number][] = [
  ['a GPU, where tokens cost next to nothing', 10, 0.05],
  ['a CPU', 11, 5],
  ['a machine on which only tokens cost', 0, 10],
]
const floods: [string, Asked][] = [
  ['long answers', { team: 'flood', prompt: 20, answer: 400 }],
  ['short answers', { team: 'flood', prompt: 20, answer: 10 }],
  ['long prompts', { team: 'flood', prompt: 3000, answer: 20 }],
]

describe.each(machines)('on %s', (_machine, fixed, perToken) => {
  test.each(floods)('a team with 64 requests of %s waiting slows down one that asks one at a time to less than half', async (_kind, flood) => {
    const quiet: Asked = { team: 'quiet', prompt: 60, answer: 40 }
    const alone = await worker(fixed, perToken).oneAfterTheOther(20, quiet)
    const { ask, oneAfterTheOther } = worker(fixed, perToken)
    const stop = new AbortController()
    const keepAsking = async (): Promise<void> => {
      while (!stop.signal.aborted) await ask(flood, stop.signal).catch(() => undefined)
    }
    const flooding = Array.from({ length: 64 + slots }, keepAsking)
    const beside = await oneAfterTheOther(20, quiet)
    stop.abort(new Error('over'))
    await Promise.all(flooding)
    expect(p95(beside) / p95(alone)).toBeLessThan(2)
  })

  test('two teams that both ask for more than there is get the same', async () => {
    const { ask, now } = worker(fixed, perToken)
    const stop = new AbortController()
    const done = { a: 0, b: 0 }
    const keepAsking = async (team: 'a' | 'b', answer: number): Promise<void> => {
      while (!stop.signal.aborted) {
        await ask({ team, prompt: 20, answer }, stop.signal).catch(() => undefined)
        if (!stop.signal.aborted) done[team] += 20 + 2 * answer
      }
    }
    // The one asks for long answers with many requests, the other for short ones with fewer.
    const all = [...Array.from({ length: 16 }, () => keepAsking('a', 60)), ...Array.from({ length: 8 }, () => keepAsking('b', 20))]
    while (now() < 400_000) await new Promise(setImmediate)
    stop.abort(new Error('over'))
    await Promise.all(all)
    expect(done.a / done.b).toBeGreaterThan(0.8)
    expect(done.a / done.b).toBeLessThan(1.25)
  })

  test('no team waits for ever, whatever the others ask for', async () => {
    const { ask, now } = worker(fixed, perToken)
    const stop = new AbortController()
    const others = ['x', 'y', 'z'].flatMap((team) =>
      Array.from({ length: 10 }, async () => {
        while (!stop.signal.aborted) await ask({ team, prompt: 500, answer: 50 }, stop.signal).catch(() => undefined)
      }),
    )
    const times = await Promise.all(Array.from({ length: 6 }, () => ask({ team: 'late', prompt: 100, answer: 20 })))
    expect(Math.max(...times)).toBeLessThan(now() + 1)
    stop.abort(new Error('over'))
    await Promise.all(others)
  })
})
