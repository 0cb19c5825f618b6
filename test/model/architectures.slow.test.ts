import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GeneratingEngine, TokenLogprobs } from '../../services/inference-worker/engines/engine.ts'
import { architectures, loadRandomModel, quantisations, type RandomModels, randomModels, randomPrompt, randomVocabulary, randomWindow } from '../support/random-models.ts'
import { greedySampling, realOptions } from '../support/real-worker.ts'

const forever = new AbortController().signal
const top = 20

let models: RandomModels
let folder: string
beforeAll(async () => {
  models = await randomModels(realOptions.path)
  folder = await mkdtemp(join(tmpdir(), 'intramuros-architectures-'))
}, 300_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Step {
  token: number
  logprobs: TokenLogprobs | undefined
}

/** The greedy tokens after a prompt, each with the log-probabilities of the likeliest at its place. */
async function greedy(engine: GeneratingEngine, slot: number, tokens: number[], length: number): Promise<Step[]> {
  const steps: Step[] = []
  for await (const step of engine.decode({ slot, tokens, keep: 0, share: { weight: 1, batch: false, served: 0, waiting: 0 }, sampling: greedySampling, guide: undefined, topLogprobs: top }, forever)) {
    steps.push(step)
    if (steps.length === length) break
  }
  return steps
}

const tokensOf = (steps: readonly Step[]): number[] => steps.map(({ token }) => token)

/** The largest difference between the log-probabilities of what both hold likely, as long as both went the same way. */
function difference(one: readonly Step[], other: readonly Step[]): number {
  let largest = 0
  for (const [place, { token, logprobs }] of one.entries()) {
    const there = new Map(other[place]?.logprobs?.top.map((entry) => [entry.token, entry.logprob]))
    // Of the likelier half: where the list ends, two of about the same weight may stand in either order.
    for (const entry of logprobs?.top.slice(0, top / 2) ?? []) largest = Math.max(largest, Math.abs(entry.logprob - (there.get(entry.token) ?? Infinity)))
    if (other[place]?.token !== token) break
  }
  return largest
}

async function withEngine(path: string, run: (engine: GeneratingEngine) => Promise<void>): Promise<void> {
  const engine = await loadRandomModel(path)
  try {
    await run(engine)
  } finally {
    await engine.close()
  }
}

/**
 * Longer than a sliding window and than a step's batch, so that both have to be gone over. Beside another, a prompt is evaluated in other pieces
 * than alone, whose sums differ in the last bits; with experts, a token on the border between two of them may go to the other then, which changes
 * all that follows (randomPrompt(70, 2) does it with gpt-oss, in pieces of 32 tokens alone too). These two have no such token.
 */
const prompts = [randomPrompt(90, 3), randomPrompt(70, 5)] as const
const answerLength = randomWindow + 8

test.each(architectures)('%s: the same answer again, in a slot that another had, and beside another request', async (name) => {
  await withEngine(models.of(name), async (engine) => {
    expect(engine).toMatchObject({ contextLength: 512, vocabularySize: randomVocabulary })
    const alone = [await greedy(engine, 0, prompts[0], answerLength), await greedy(engine, 1, prompts[1], answerLength)] as const
    expect(alone[0]).toHaveLength(answerLength)
    // Not deaf to what it is asked.
    expect(tokensOf(alone[0])).not.toEqual(tokensOf(alone[1]))
    // The pieces that a prompt is evaluated in follow from how long steps take, and each rounds otherwise (docs/determinism.md).
    expect(difference(alone[0], await greedy(engine, 0, prompts[0], answerLength))).toBeLessThan(0.05)
    // In the slot that the other request has had.
    expect(difference(alone[0], await greedy(engine, 1, prompts[0], answerLength))).toBeLessThan(0.05)
    const together = await Promise.all([greedy(engine, 0, prompts[0], answerLength), greedy(engine, 1, prompts[1], answerLength)])
    // Sums of a batch may be added in another order than those of one alone: where two tokens are as likely as each other to the last bits, the
    // other may come, and all is compared up to there. With another's tokens nothing would be alike.
    for (const [index, steps] of together.entries()) expect(difference(alone[index] ?? [], steps)).toBeLessThan(0.05)
  })
}, 60_000)

test.each(quantisations)('weights in %s: the log-probabilities of the same weights in 32 bits, nearly', async (name) => {
  let quantised: Step[] = []
  await withEngine(models.quantised(name), async (engine) => {
    quantised = await greedy(engine, 0, prompts[0], 4)
  })
  await withEngine(models.dequantised(name), async (engine) => {
    const exact = await greedy(engine, 0, prompts[0], 4)
    // llama.cpp rounds what it multiplies with such weights to 8 bits, too.
    expect(difference(quantised, exact)).toBeLessThan(name === 'F16' || name === 'BF16' ? 0.1 : 0.5)
  })
}, 60_000)

describe('a model in several files', () => {
  test('is that of the one file', async () => {
    let whole: Step[] = []
    // The weights are drawn in the same order.
    await withEngine(models.of('llama'), async (engine) => {
      whole = await greedy(engine, 0, prompts[0], answerLength)
    })
    await withEngine(models.split, async (engine) => {
      expect(difference(whole, await greedy(engine, 0, prompts[0], answerLength))).toBeLessThan(0.05)
    })
  })

  test('of which one is missing is told', async () => {
    const first = join(folder, 'split-00001-of-00003.gguf')
    await copyFile(models.split, first)
    await expect(loadRandomModel(first)).rejects.toMatchObject({ name: 'EngineLoadError', reason: 'part_missing', message: expect.stringContaining('split-0000') as string })
  })
})
