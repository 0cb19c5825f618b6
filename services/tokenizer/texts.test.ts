import { describe, expect, test } from 'vitest'
import type { CallContext } from '../shared/rpc/handler.ts'
import type { ServedModel } from './model.ts'
import { createPreparePairs } from './pairs.ts'
import { createTokenize } from './texts.ts'

const call: CallContext = { requestId: 'request-1', peer: 'gateway', signal: new AbortController().signal }

/** One token a character, 100 of context, one token before each text and one behind it. */
const model = {
  contextLength: 100,
  vocabulary: { longestTokenBytes: 4, bos: { id: 1 }, addBos: true, ending: [2] },
  pieces: (text: string) => [text],
  pairs: (query: string, document: string) => [query, document],
  tokenise: (pieces: readonly string[], _signal: AbortSignal, limit = 100) => {
    const ids = Array.from(pieces.join(''), () => 7)
    return Promise.resolve(ids.length > limit ? { ids: ids.slice(0, limit), complete: false } : { ids, complete: true })
  },
} as unknown as ServedModel
const models = new Map([['tiny', model]])

describe('a text for the workers', () => {
  const tokenize = createTokenize(models)
  const request = (length: number, contextLength: number | undefined, limited = true) => ({
    model: 'tiny',
    texts: ['ok', 'a'.repeat(length)],
    addSpecial: true,
    limited,
    parseSpecial: false,
    contextLength,
  })

  test.each([
    [undefined, 100],
    [40, 40],
    // The tokenizer's own limit still holds.
    [1000, 100],
  ])('where they take %s tokens, has at most %i', async (workers, most) => {
    const { lists } = await tokenize(request(most - 2, workers), call)
    expect(lists.map(({ ids }) => ids.length)).toEqual([4, most])
    await expect(tokenize(request(most - 1, workers), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'context_length_exceeded',
      message: `This model's maximum context length is ${most} tokens. However, input 1 has ${most + 1} tokens.`,
      param: 'input',
    })
    await expect(tokenize(request(most * 5, workers), call)).rejects.toMatchObject({ message: expect.stringContaining(`input 1 has more than ${most} tokens`) as string })
  })

  test('that is only counted may have any length', async () => {
    const { lists } = await tokenize(request(300, 40, false), call)
    expect(lists[1]?.ids).toHaveLength(302)
  })
})

test.each([
  [undefined, 100],
  [40, 40],
  [1000, 100],
])('a pair for workers that take %s tokens has at most %i', async (workers, most) => {
  const prepare = createPreparePairs(models)
  const request = (length: number) => ({ model: 'tiny', query: 'q', documents: ['ok', 'a'.repeat(length)], contextLength: workers })
  const { pairs } = await prepare(request(most - 1), call)
  expect(pairs.map(({ ids }) => ids.length)).toEqual([3, most])
  await expect(prepare(request(most), call)).rejects.toMatchObject({
    reason: 'context_length_exceeded',
    message: expect.stringContaining(`maximum context length is ${most} tokens. However, the query and document 1`) as string,
    param: 'documents[1]',
  })
})
