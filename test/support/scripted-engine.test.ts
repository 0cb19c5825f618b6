import { expect, test } from 'vitest'
import type { DecodeRequest, GeneratingEngine } from '../../services/inference-worker/engines/engine.ts'
import { byteTokens, createScriptedEngine, endOfGeneration } from './scripted-engine.ts'

const forever = new AbortController().signal
const request = (slot: number, tokens: readonly number[] = [1]): DecodeRequest => ({
  slot,
  tokens,
  keep: 0,
  share: { weight: 1, batch: false, served: 0, waiting: 0 },
  sampling: {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    repeatPenalty: 1,
    penaltyWindow: 0,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: new Map(),
    seed: 0,
  },
  guide: undefined,
  topLogprobs: undefined,
})

async function take(engine: GeneratingEngine, count: number, slot = 0, prompt: readonly number[] = [1]): Promise<number[]> {
  const tokens: number[] = []
  for await (const { token } of engine.decode(request(slot, prompt), forever)) {
    tokens.push(token)
    if (tokens.length === count) break
  }
  return tokens
}

test('answers the same to the same prompt, another to another, then ends its turn', async () => {
  const engine = createScriptedEngine({ tokens: 3 })
  const first = await take(engine, 4)
  expect(first.at(-1)).toBe(endOfGeneration)
  expect(await take(engine, 4)).toEqual(first)
  expect((await take(engine, 4, 0, [2]))[0]).not.toBe(first[0])
})

test('all running requests advance one token a turn', async () => {
  const engine = createScriptedEngine({ tokens: 100 })
  const order: number[] = []
  const run = async (slot: number): Promise<void> => {
    let count = 0
    for await (const _ of engine.decode(request(slot), forever)) {
      order.push(slot)
      if ((count += 1) === 5) break
    }
  }
  await Promise.all([0, 1, 2].map(run))
  expect(order).toEqual(Array.from({ length: 5 }, () => [0, 1, 2]).flat())
})

test('notices a slot that is used twice', async () => {
  const engine = createScriptedEngine({ slots: 1 })
  const first = engine.decode(request(0), forever)
  await first.next()
  await expect(take(engine, 1)).rejects.toThrow('not free')
  await first.return()
  expect(await take(engine, 1)).toHaveLength(1)
  await expect(take(engine, 1, 1)).rejects.toThrow('not free')
})

test('ends on a cancel, fails and hangs as told', async () => {
  const cancel = new AbortController()
  const tokens = createScriptedEngine().decode(request(0), cancel.signal)
  await tokens.next()
  cancel.abort()
  expect((await tokens.next()).done).toBe(true)
  await expect(take(createScriptedEngine({ failAfter: 2 }), 9)).rejects.toThrow('scripted failure')

  const hanging = createScriptedEngine({ hangAfter: 1 })
  const stuck = take(hanging, 9)
  await expect.poll(() => hanging.stepMs()).toBeGreaterThan(0)
  await hanging.close()
  expect(await stuck).toHaveLength(1)
})

test('byte tokens spell any text', () => {
  const { text } = createScriptedEngine().texts
  expect(Buffer.concat(byteTokens('é🦉').map(text)).toString()).toBe('é🦉')
  expect(text(endOfGeneration)).toHaveLength(0)
})
