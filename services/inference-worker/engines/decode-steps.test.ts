import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDecodeSteps, type DecodeSteps } from './decode-steps.ts'
import type { BatchEntry } from './llama-internals.ts'
import type { Share } from './step-plan.ts'

const forever = new AbortController().signal
const team = (served = 0): Share => ({ weight: 1, batch: false, served, waiting: 0 })

/** Steps over an engine that keeps what each sequence holds; a step ends when it is let. */
function create({ batchSize = 8, hold = false } = {}) {
  const batches: BatchEntry[][] = []
  const held = new Map<number, number[]>()
  let release: () => void = () => undefined
  let failure: Error | undefined
  const steps = createDecodeSteps({
    batchSize,
    targetMs: 1000,
    now: () => 5,
    async decode(entries) {
      batches.push([...entries])
      if (hold) await new Promise<void>((resolve) => (release = resolve))
      if (failure !== undefined) throw failure
      for (const { sequence, position, tokens } of entries) {
        const all = held.get(sequence) ?? []
        expect(position).toBe(all.length)
        held.set(sequence, [...all, ...tokens])
      }
      return entries.flatMap(({ logits, sequence }) => (logits ? [sequence] : []))
    },
  })
  const evaluate = (sequence: number, tokens: readonly number[], more: { share?: Share; signal?: AbortSignal; position?: number } = {}) => {
    const state = { progress: 0, failed: false }
    const result = steps.evaluate(
      {
        sequence,
        position: more.position ?? held.get(sequence)?.length ?? 0,
        tokens: Uint32Array.from(tokens),
        share: more.share ?? team(),
        read: async (logits) => `read ${logits}`,
        onProgress: (count) => void (state.progress += count),
        onFailure: () => void (state.failed = true),
      },
      more.signal ?? forever,
    )
    return { result, state }
  }
  return { steps, batches, held, evaluate, release: () => release(), fail: (error: Error) => void (failure = error) }
}

async function started(steps: DecodeSteps): Promise<void> {
  while (steps.startedAt === undefined) await new Promise(setImmediate)
}

const sizes = (batches: readonly BatchEntry[][]): number[][] => batches.map((batch) => batch.map(({ tokens }) => tokens.length))

describe('decode steps', () => {
  test('those who come together are in one step, and each reads its own logits', async () => {
    const { evaluate, batches } = create()
    const share = team()
    const all = [0, 1, 2].map((sequence) => evaluate(sequence, [sequence], { share }).result)
    expect(await Promise.all(all)).toEqual(['read 0', 'read 1', 'read 2'])
    expect(sizes(batches)).toEqual([[1, 1, 1]])
  })

  test('a long prompt goes in pieces, and answers have their part in each step', async () => {
    const { evaluate, batches, held } = create()
    const share = team()
    const prompt = Array.from({ length: 20 }, (_, index) => index)
    const long = evaluate(0, prompt, { share })
    const decoding = (async () => {
      for (let token = 0; token < 4; token += 1) await evaluate(1, [token], { share }).result
    })()
    expect(await long.result).toBe('read 0')
    await decoding
    expect(long.state.progress).toBe(20)
    expect(held.get(0)).toEqual(prompt)
    expect(sizes(batches).slice(0, 3)).toEqual([[7, 1], [7, 1], [6, 1]])
    expect(batches.map(([first]) => first?.logits)).toEqual([false, false, true, true])
  })

  test('who has gone has no part in a step, and its sequence is free when the step under way has ended', async () => {
    const { steps, evaluate, release, batches } = create({ hold: true })
    const leaving = new AbortController()
    const long = evaluate(0, Array.from({ length: 20 }, () => 1), { signal: leaving.signal })
    await started(steps)
    let over = false
    void long.result.then(() => (over = true))
    leaving.abort()
    await new Promise(setImmediate)
    expect(over).toBe(false)
    release()
    expect(await long.result).toBeUndefined()
    expect(long.state.progress).toBe(8)
    expect(batches).toHaveLength(1)
    expect(await evaluate(1, [1], { signal: leaving.signal }).result).toBeUndefined()
  })

  test('a step that fails fails those who were in it, and no one else', async () => {
    const { steps, evaluate, release, fail } = create({ hold: true })
    const first = evaluate(0, [1])
    await started(steps)
    const second = evaluate(1, [1])
    fail(new Error('eval has failed'))
    release()
    await expect(first.result).rejects.toThrow('eval has failed')
    expect(first.state.failed).toBe(true)
    expect(second.state.failed).toBe(false)
    await started(steps)
    release()
    await expect(second.result).rejects.toThrow('eval has failed')
  })

  test('what reading throws is the reader’s own', async () => {
    const steps = createDecodeSteps({ batchSize: 4, targetMs: 100, now: () => 0, decode: async (entries) => entries.map(({ sequence }) => sequence) })
    const share = team()
    const evaluate = (sequence: number, read: () => Promise<string>) =>
      steps.evaluate({ sequence, position: 0, tokens: Uint32Array.of(1), share, read, onProgress: () => undefined, onFailure: () => expect.unreachable() }, forever)
    const failing = evaluate(0, () => Promise.reject(new RangeError('guide')))
    const fine = evaluate(1, async () => 'token')
    await expect(failing).rejects.toThrow('guide')
    expect(await fine).toBe('token')
    expect(steps.startedAt).toBeUndefined()
  })

  test('who goes on at once has a part in the very next step', async () => {
    const { evaluate, batches } = create()
    const share = team()
    const answer = async (sequence: number): Promise<void> => {
      for (let token = 0; token < 5; token += 1) await evaluate(sequence, [token], { share }).result
    }
    await Promise.all([answer(0), answer(1), answer(2)])
    expect(sizes(batches)).toEqual(Array.from({ length: 5 }, () => [1, 1, 1]))
  })

  test('whatever comes and goes, every sequence holds what was evaluated, in order, and nobody is left waiting', async () => {
    const arrivals = fc.array(fc.record({ size: fc.integer({ min: 1, max: 30 }), team: fc.nat(2), leaves: fc.boolean(), delay: fc.nat(3) }), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(arrivals, async (all) => {
        const { evaluate, held } = create()
        const shares = [team(), team(1), { weight: 2, batch: true, served: 0, waiting: 0 }]
        await Promise.all(
          all.map(async ({ size, team: index, leaves, delay }, sequence) => {
            for (let turn = 0; turn < delay; turn += 1) await new Promise(setImmediate)
            const leaving = new AbortController()
            const tokens = Array.from({ length: size }, (_, at) => at)
            const { result, state } = evaluate(sequence, tokens, { share: shares[index] as Share, signal: leaving.signal })
            if (leaves) setImmediate(() => leaving.abort())
            const outcome = await result
            expect(held.get(sequence) ?? []).toEqual(tokens.slice(0, state.progress))
            if (!leaves) expect([outcome, state.progress]).toEqual([`read ${sequence}`, size])
          }),
        )
      }),
    )
  })
})
