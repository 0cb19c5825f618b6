import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { FinishReason } from '../../proto/gen/intramuros/v1/inference.ts'
import { type RandomArchitecture, type RandomModels, randomModels, randomPrompt, recurrent, windowed } from '../support/random-models.ts'
import { promptPiece, type RandomWorker, startRandomWorker } from '../support/random-worker.ts'
import { type Answer, realOptions } from '../support/real-worker.ts'

/**
 * Families whose memory of a prompt is not a row for each token in each layer: layers with a sliding window, whose old rows go as new ones come, and
 * one state behind all tokens. With experts the memory is as usual, but sums that differ in their last bits may choose another expert.
 */
const families = ['llama', 'gemma2', 'gemma3', 'gpt-oss', 'mixtral', 'qwen3moe', 'mamba'] as const satisfies readonly RandomArchitecture[]

const experts: ReadonlySet<RandomArchitecture> = new Set(['gpt-oss', 'mixtral', 'qwen3moe'])

const answerLength = 24
const top = 20

let models: RandomModels
beforeAll(async () => {
  models = await randomModels(realOptions.path)
}, 300_000)

/**
 * The largest difference between the log-probabilities of what both hold likely, as long as both went the same way: sums in other pieces are added in
 * another order, and where two tokens are as likely as each other to the last bits, the other may come.
 */
function difference(one: Answer, other: Answer): number {
  let largest = 0
  for (const [place, { token, top: likely }] of one.logprobs.entries()) {
    const there = new Map(other.logprobs[place]?.top.map((entry) => [entry.token, entry.logprob]))
    for (const entry of likely.slice(0, top / 2)) largest = Math.max(largest, Math.abs(entry.logprob - (there.get(entry.token) ?? Infinity)))
    if (other.logprobs[place]?.token?.token !== token?.token) break
  }
  return largest
}

const ofModel = ({ tokens, logprobs }: Answer): Pick<Answer, 'tokens' | 'logprobs'> => ({ tokens, logprobs })

describe.each(families)('%s', (family) => {
  let worker: RandomWorker
  beforeAll(async () => {
    worker = await startRandomWorker(models.of(family))
  })
  afterAll(() => worker.close())

  function ask(team: string, tokens: number[], maxTokens = answerLength): Promise<Answer> {
    return worker.answer({ team, tokens, maxTokens, topLogprobs: top })
  }

  /** In a worker that has answered nothing before. */
  async function fresh(tokens: number[]): Promise<Answer> {
    const alone = await startRandomWorker(models.of(family))
    try {
      return await alone.answer({ team: 'alone', tokens, maxTokens: answerLength, topLogprobs: top })
    } finally {
      await alone.close()
    }
  }

  test('the second turn of a chat is evaluated from the first answer on, and is what it is alone', async () => {
    const first = await ask('chat', randomPrompt(300, 3))
    expect(first.cachedTokens).toBe(0)
    const second = [...randomPrompt(300, 3), ...first.tokens, ...randomPrompt(40, 5)]
    const reused = await ask('chat', second)
    // Of an answer that the limit ended, the last token was drawn and not evaluated.
    expect(reused.cachedTokens).toBe(300 + first.tokens.length - (first.reason === FinishReason.LENGTH ? 1 : 0))
    expect(difference(await fresh(second), reused)).toBeLessThan(0.05)
  }, 60_000)

  test('to the last bit where the pieces are the same', async () => {
    const begin = randomPrompt(10 * promptPiece, 7)
    await ask('pieces', begin, 1)
    const next = [...begin, ...randomPrompt(40, 11)]
    const reused = await ask('pieces', next)
    expect(reused.cachedTokens).toBe(begin.length)
    expect(ofModel(reused)).toEqual(ofModel(await fresh(next)))
  }, 60_000)

  test('of a prompt that parts from the one before, so much is kept as the memory still has', async () => {
    // With one slot there is no other that it may cost less to take.
    const single = await startRandomWorker(models.of(family), 1)
    onTestFinished(() => single.close())
    const askIt = (prompt: number[]): Promise<Answer> => single.answer({ team: 'parts', tokens: prompt, maxTokens: answerLength, topLogprobs: top })
    const tokens = randomPrompt(400, 13)
    await askIt(tokens)
    // Near its end: the window before it is still there. A state can't go back.
    const near = [...tokens.slice(0, 380), ...randomPrompt(30, 17)]
    const nearly = await askIt(near)
    expect(nearly.cachedTokens).toBe(recurrent.has(family) ? 0 : 380)
    expect(difference(await fresh(near), nearly)).toBeLessThan(0.05)
    // Near its beginning, which has left the window for good.
    const far = [...tokens.slice(0, 100), ...randomPrompt(30, 19)]
    const hardly = await askIt(far)
    expect(hardly.cachedTokens).toBe(recurrent.has(family) || windowed.has(family) ? 0 : 100)
    expect(difference(await fresh(far), hardly)).toBeLessThan(0.05)
  }, 60_000)

  test('another team gains nothing, and answers in a slot that was another team\'s are those of a fresh process', async () => {
    const tokens = randomPrompt(200, 23)
    const alone = ofModel(await fresh(tokens))
    const answers: Answer[] = []
    // Twice the slots: each of them changes hands, with the same prompt in it and with others.
    for (const team of ['one', 'two', 'three', 'four', 'one']) {
      const answer = await ask(team, tokens)
      answers.push(answer)
      await ask(`other than ${team}`, randomPrompt(330, 29))
      await ask(`again other than ${team}`, randomPrompt(270, 31))
    }
    expect(answers.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0, 0, 0, 0])
    for (const answer of answers) expect(ofModel(answer)).toEqual(alone)
  }, 60_000)

  test('beside another of its team in the batch, what was kept serves as well', async () => {
    const begin = randomPrompt(260, 37)
    await ask('batch', begin, 1)
    const prompts = [[...begin, ...randomPrompt(50, 41)], randomPrompt(150, 43)]
    const answers = await Promise.all(prompts.map((tokens) => ask('batch', tokens)))
    expect(answers.map(({ cachedTokens }) => cachedTokens)).toEqual([begin.length, 0])
    const alone = await Promise.all(prompts.map(fresh))
    for (const [index, answer] of answers.entries()) expect(difference(alone[index] as Answer, answer)).toBeLessThan(0.05)
  }, 60_000)

  test('beside another team that asks the same, which gains nothing', async () => {
    const begin = randomPrompt(260, 47)
    await ask('mine', begin, 1)
    const next = [...begin, ...randomPrompt(50, 53)]
    const [mine, theirs] = await Promise.all([ask('mine', next), ask('theirs', next)])
    expect([mine.cachedTokens, theirs.cachedTokens]).toEqual([begin.length, 0])
    const alone = await fresh(next)
    // How a step is shared between teams depends on what it is found to take, so the pieces do; and an expert may depend on the pieces.
    if (!experts.has(family)) for (const answer of [mine, theirs]) expect(difference(alone, answer)).toBeLessThan(0.05)
  }, 60_000)
})
