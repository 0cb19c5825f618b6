import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FinishReason } from '../../proto/gen/intramuros/v1/inference.ts'
import { type Answer, type RealWorker, type Request, startRealWorker } from '../support/real-worker.ts'

let worker: RealWorker
beforeAll(async () => {
  // Pieces of a prompt that no measured time makes smaller: of other pieces the logits round otherwise (docs/determinism.md).
  worker = await startRealWorker({ batchSize: 32 })
})
afterAll(() => worker.close())

const story = 'Once upon a time there was an owl who lived in an old oak. '
const long = (first: string): string => `${first} ${story.repeat(6)} What does the owl do?`

function ask(question: string, more: Request = {}): Promise<Answer> {
  return worker.answer({ tokens: worker.chat(question), maxTokens: 24, ...more })
}

describe('a prompt that begins as one before it', () => {
  test('of the same team is evaluated from where they part, and the answer is the same', async () => {
    const first = await ask(long('A.'), { team: 'same' })
    expect(first.cachedTokens).toBe(0)
    const again = await ask(long('A.'), { team: 'same' })
    const prompt = worker.chat(long('A.')).length
    expect(again.cachedTokens).toBe(prompt - 1)
    expect(again.text).toBe(first.text)
    expect(again.tokens).toEqual(first.tokens)
  })

  test('goes on with the answer, as a chat does', async () => {
    const question = worker.chat(long('B.'))
    const first = await worker.answer({ tokens: question, maxTokens: 24, team: 'chat' })
    const next = [...question, ...first.tokens, ...worker.chat('And then?')]
    const second = await worker.answer({ tokens: next, maxTokens: 4, team: 'chat', topLogprobs: 3 })
    // Of an answer that the limit ended, the last token was drawn and not evaluated.
    expect(second.cachedTokens).toBe(question.length + first.tokens.length - (first.reason === FinishReason.LENGTH ? 1 : 0))
    const fresh = await worker.answer({ tokens: next, maxTokens: 4, team: 'somebody else', topLogprobs: 3 })
    expect(fresh.cachedTokens).toBe(0)
    // The answer was evaluated token by token, and now as part of a prompt: llama.cpp has other kernels for that, which round otherwise
    // (docs/determinism.md), so two texts may part where two tokens are about as likely.
    const likely = ({ logprobs }: Answer) => new Map(logprobs[0]?.top.map(({ token, logprob }) => [token, logprob]))
    for (const [token, logprob] of likely(fresh)) {
      const other = likely(second).get(token)
      if (other !== undefined) expect(Math.abs(other - logprob)).toBeLessThan(0.5)
    }
    expect(likely(second).has(fresh.logprobs[0]?.token?.token ?? -1)).toBe(true)
  })

  test('after an answer that was cancelled in the middle, too', async () => {
    const gone = new AbortController()
    const tokens = worker.chat(long('C.'))
    const fresh = await worker.answer({ tokens, maxTokens: 24, team: 'fresh' })
    for await (const { event } of worker.generate({ tokens, maxTokens: 200, team: 'leaver' }, gone.signal)) {
      if (event?.$case === 'delta') break
    }
    const again = await worker.answer({ tokens, maxTokens: 24, team: 'leaver' })
    expect(again.cachedTokens).toBe(tokens.length - 1)
    expect(again.text).toBe(fresh.text)
  })

  test('of another team is evaluated whole', async () => {
    const first = await ask(long('D.'), { team: 'one', topLogprobs: 5 })
    const other = await ask(long('D.'), { team: 'two', topLogprobs: 5 })
    expect(other.cachedTokens).toBe(0)
    expect(other.text).toBe(first.text)
    expect(other.logprobs).toEqual(first.logprobs)
  })

  test('is evicted when others need the slots, and the answer stays the same', async () => {
    const first = await ask(long('E.'), { team: 'evicted' })
    for (const name of ['v', 'w', 'x', 'y', 'z']) await ask(`${long(name)} ${story.repeat(2)}`, { team: name, maxTokens: 2 })
    const again = await ask(long('E.'), { team: 'evicted' })
    expect(again.cachedTokens).toBe(0)
    expect(again.text).toBe(first.text)
  })

  test('beside others in the batch, the answer is the same', async () => {
    const alone = await ask(long('F.'), { team: 'batch' })
    const [again] = await Promise.all([
      ask(long('F.'), { team: 'batch' }),
      ...['Name ten rivers.', 'Count to fifty.', 'What is rain?'].map((question) => ask(question, { team: 'batch' })),
    ])
    expect(again?.text).toBe(alone.text)
  })
})
