import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { FinishReason } from '../../proto/gen/intramuros/v1/inference.ts'
import { createGrammarBuilder } from '../../services/shared/grammar/builder.ts'
import { type Answer, type RealWorker, type Request, startRealWorker } from '../support/real-worker.ts'

let worker: RealWorker
const answer = (request: Request): Promise<Answer> => worker.answer(request)

beforeAll(async () => {
  worker = await startRealWorker()
}, 30_000)
afterAll(() => worker.close())

const person = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 40 }, age: { type: 'integer' }, tags: { type: 'array', items: { enum: ['a', 'b'] } } },
  required: ['name', 'age', 'tags'],
  additionalProperties: false,
}

function jsonGrammar(schema: unknown): string {
  const builder = createGrammarBuilder()
  return builder.build(builder.schema(schema, ''))
}

describe('a grammar', () => {
  test('holds whatever the model would rather say', async () => {
    const { text, reason } = await answer({ constraint: { grammar: 'root ::= "yes" | "no" | "perhaps 🦉"', after: [] } })
    expect(['yes', 'no', 'perhaps 🦉']).toContain(text)
    expect(reason).toBe(FinishReason.STOP)
  })

  test('a schema gives JSON that is as it says, with any seed, and leaves its neighbours as they are', async () => {
    const neighbour: Request = { tokens: worker.chat('Tell me a story about an owl.'), maxTokens: 40 }
    const alone = await answer(neighbour)
    const grammar = jsonGrammar(person)
    const constrained = (seed: number): Request => ({
      tokens: worker.chat('Describe a person as JSON with name, age and tags.'),
      temperature: 1,
      seed,
      maxTokens: 200,
      constraint: { grammar, after: [] },
    })
    const [together, ...answers] = await Promise.all([answer(neighbour), ...[1, 2, 3, 4].map((seed) => answer(constrained(seed)))])
    // As in engine.test.ts: elsewhere rows of a batch may be computed a little differently.
    if (process.arch === 'x64') expect(together.text.slice(0, 60)).toBe(alone.text.slice(0, 60))
    let ended = 0
    for (const { text, reason } of answers) {
      if (reason !== FinishReason.STOP) continue
      ended += 1
      const value = JSON.parse(text) as Record<string, unknown>
      expect(Object.keys(value)).toEqual(['name', 'age', 'tags'])
      expect(Number.isInteger(value['age'])).toBe(true)
    }
    expect(ended).toBeGreaterThan(0)
    expect((await answer(constrained(3))).text).toBe(answers[2]?.text)
  }, 60_000)

  test('holds only after one of its beginnings', async () => {
    const grammar = 'root ::= " -> " ("left" | "right")'
    const { text } = await answer({ constraint: { grammar, after: ['Paris', 'London'] } })
    expect(text).toMatch(/^[^]*Paris -> (left|right)$/)
    const free = await answer({})
    expect((await answer({ constraint: { grammar, after: ['never said'] } })).text).toBe(free.text)
  })

  test('an end-of-turn token comes when the grammar can end, not before', async () => {
    const { text, reason } = await answer({
      tokens: worker.chat('Say hi.'),
      maxTokens: 60,
      constraint: { grammar: 'root ::= [a-z ]{40}', after: [] },
    })
    expect(text).toHaveLength(40)
    expect(reason).toBe(FinishReason.STOP)
  })

  test('log-probabilities are the model\'s own, those of tokens that the grammar forced too', async () => {
    const { logprobs, text } = await answer({ topLogprobs: 2, constraint: { grammar: 'root ::= "zzyzx"', after: [] } })
    expect(Buffer.concat(logprobs.map(({ token }) => token?.text ?? Buffer.alloc(0))).toString()).toBe(text)
    expect(logprobs[0]?.token?.logprob).toBeLessThan(-5)
    expect(logprobs[0]?.top[0]?.logprob).toBeGreaterThan(-5)
  })

  test.each([
    ['that can not be read', 'root ::= "a', 'invalid_grammar'],
    ['that never ends', 'root ::= "a" root', 'invalid_grammar'],
    ['without a root', 'top ::= "a"', 'invalid_grammar'],
  ])('%s is refused before it takes a slot', async (_what, grammar, reason) => {
    await expect(answer({ constraint: { grammar, after: [] } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason })
  })

  test('a cancel ends a constrained answer with log-probabilities within a step', async () => {
    const gone = new AbortController()
    const constraint = { grammar: 'root ::= [a-z ]{0,2000}', after: [] }
    let steps = 0
    await expect(
      (async () => {
        for await (const { event } of worker.generate({ maxTokens: 900, topLogprobs: 20, constraint }, gone.signal)) {
          if (event?.$case === 'delta' && (steps += 1) === 3) gone.abort()
        }
      })(),
    ).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(steps).toBe(3)
    await vi.waitFor(() => expect(worker.engine.stepMs()).toBe(0))
    expect((await answer({ maxTokens: 2 })).outputTokens).toBe(2)
  })
})

describe('a reasoning budget', () => {
  const endTokens = (): number[] => worker.vocabulary.tokenize('\n</think>\n')
  const budget = (tokens: number, begin = '') => ({ tokens, begin, end: '</think>', endTokens: endTokens() })

  test('ends the reasoning when it is used up, and the answer goes on', async () => {
    const request = { tokens: worker.chat('Tell me a story about an owl.'), maxTokens: 40 }
    const free = await answer(request)
    const { text, tokens, reasoningTokens, outputTokens } = await answer({ ...request, reasoningBudget: budget(10) })
    expect(tokens.slice(0, 10)).toEqual(free.tokens.slice(0, 10))
    expect(tokens.slice(10, 10 + endTokens().length)).toEqual(endTokens())
    expect(text).toMatch(/\n<\/think>\n[^]+/)
    expect(reasoningTokens).toBe(10 + endTokens().length)
    expect(outputTokens).toBe(40)
  })

  test('of nothing comes before any reasoning', async () => {
    const { text, reasoningTokens } = await answer({ reasoningBudget: budget(0) })
    expect(text.startsWith('\n</think>\n')).toBe(true)
    expect(reasoningTokens).toBe(endTokens().length)
  })

  test('counts from the beginning of the reasoning, and not what is none', async () => {
    const { text } = await answer({ maxTokens: 20, reasoningBudget: budget(3, 'capital') })
    expect(text).toMatch(/^The capital( [a-zA-Z]+){3}\n<\/think>\n/)
    const free = await answer({ maxTokens: 20 })
    expect(await answer({ maxTokens: 20, reasoningBudget: budget(3, 'never said') })).toEqual(free)
  })

  test('goes with a grammar that holds after the reasoning', async () => {
    const { text } = await answer({
      maxTokens: 60,
      reasoningBudget: budget(5),
      constraint: { grammar: 'root ::= "\\n" "{" [0-9]{3} "}"', after: ['</think>'] },
    })
    expect(text).toMatch(/\n<\/think>\n\{[0-9]{3}\}$/)
  })
})

describe('visible tokens', () => {
  test('are part of the text, also one that ends the turn', async () => {
    const plain = await answer({ topLogprobs: 0 })
    expect(plain.text).not.toContain('<|im_end|>')
    const [end = -1] = worker.vocabulary.tokenize('<|im_end|>', true)
    const { text, tokens, logprobs, reason } = await answer({ visibleTokens: [end], topLogprobs: 0 })
    expect(text).toBe(`${plain.text}<|im_end|>`)
    expect(tokens).toEqual([...plain.tokens, end])
    expect(logprobs).toHaveLength(tokens.length)
    expect(reason).toBe(FinishReason.STOP)
    expect(plain.logprobs).toHaveLength(plain.tokens.length)
  })
})

test('the stop sequence that ended the answer is told', async () => {
  expect(await answer({ stop: ['London', 'Paris'] })).toMatchObject({ reason: FinishReason.STOP, stopSequence: 'Paris' })
  expect((await answer({ stop: ['London'] })).stopSequence).toBeUndefined()
})
