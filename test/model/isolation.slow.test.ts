import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RealWorker, startRealWorker } from '../support/real-worker.ts'

const tries = 200

let worker: RealWorker
beforeAll(async () => {
  worker = await startRealWorker()
})
afterAll(() => worker.close())

interface Kind {
  /** Milliseconds to the first token. */
  times: number[]
  /** Tokens of prompts, and of these not evaluated. */
  tokens: number
  cached: number
}

test('what a team left is nothing that another could measure: its tokens, or the time to its first', { timeout: 600_000 }, async () => {
  const kind = (): Kind => ({ times: [], tokens: 0, cached: 0 })
  const kinds = { seenByTheSame: kind(), seenByAnother: kind(), unseen: kind() }
  const ask = (tokens: number[], team: string) => worker.answer({ tokens, maxTokens: 1, team })
  const measure = async (of: Kind, tokens: number[], team: string): Promise<void> => {
    const begin = performance.now()
    const { cachedTokens } = await ask(tokens, team)
    of.times.push(performance.now() - begin)
    of.tokens += tokens.length
    of.cached += cachedTokens
  }
  for (let round = 0; round < tries; round += 1) {
    const prompt = worker.chat(`My secret number is ${1000 + round}, and I like the owl that lives in the old oak at the end of our long street.`)
    // As long, and with the same words.
    const other = worker.chat(`My secret number is ${9000 - round}, and I like the owl that lives in the old oak at the end of our long street.`)
    await ask(prompt, 'victim')
    expect(other).toHaveLength(prompt.length)
    // Who spies is new each time: its own slots tell it nothing either.
    const turns = [() => measure(kinds.seenByAnother, prompt, `spy ${round}`), () => measure(kinds.unseen, other, `bystander ${round}`)]
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn()
    await ask(prompt, 'victim')
    await measure(kinds.seenByTheSame, prompt, 'victim')
  }
  const { seenByTheSame, seenByAnother, unseen } = kinds
  // The counters decide; of the times it is only told how well they tell the two apart: 0.5 is as good as guessing.
  process.stdout.write(`time to first token, ${tries} tries each: a prompt that another team has sent against one that nobody has, AUC ${auc(seenByAnother.times, unseen.times).toFixed(3)}; that the same team has sent, AUC ${auc(seenByTheSame.times, unseen.times).toFixed(3)}\n`)
  expect([seenByAnother.cached, unseen.cached]).toEqual([0, 0])
  expect(seenByTheSame.cached).toBe(seenByTheSame.tokens - tries)
})

/** The chance that a time of the first is shorter than one of the second. */
function auc(first: readonly number[], second: readonly number[]): number {
  let shorter = 0
  for (const a of first) for (const b of second) shorter += a < b ? 1 : a === b ? 0.5 : 0
  return shorter / (first.length * second.length)
}
