import { expect, test } from 'vitest'
import { Check } from 'typebox/value'
import type { ServiceError } from '../../../shared/errors.ts'
import { parseEmbeddingsRequest } from './request.ts'
import { EmbeddingList, embeddingList, shortened } from './response.ts'

test.each([
  ['a', { texts: ['a'] }],
  [['a', 'b'], { texts: ['a', 'b'] }],
  [[1, 2], { tokens: [[1, 2]] }],
  [[[1], [2, 3]], { tokens: [[1], [2, 3]] }],
])('an input may be %j', (input, inputs) => {
  expect(parseEmbeddingsRequest({ model: 'm', input }).inputs).toEqual(inputs)
})

test.each([
  [{ input: 'a' }, 'model'],
  [{ model: 'm' }, 'input'],
  [{ model: 'm', input: '' }, 'input'],
  [{ model: 'm', input: [] }, 'input'],
  [{ model: 'm', input: [''] }, 'input'],
  [{ model: 'm', input: ['a', 1] }, 'input'],
  [{ model: 'm', input: 'a', dimensions: 0 }, 'dimensions'],
  [{ model: 'm', input: 'a', encoding_format: 'hex' }, 'encoding_format'],
])('%j is refused', (body, param) => {
  let thrown: unknown
  try {
    parseEmbeddingsRequest(body)
  } catch (error) {
    thrown = error
  }
  expect((thrown as ServiceError).param?.startsWith(param)).toBe(true)
})

test('vectors are told as numbers or as base64, whole or cut to a vector of length 1', () => {
  const request = { ...parseEmbeddingsRequest({ model: 'm', input: 'a' }) }
  const plain: unknown = JSON.parse(embeddingList(request, [[0.6, 0.8]], 2))
  expect(Check(EmbeddingList, plain)).toBe(true)
  expect(plain).toMatchObject({ data: [{ embedding: [0.6, 0.8], index: 0 }], usage: { prompt_tokens: 2, total_tokens: 2 } })
  const encoded = JSON.parse(embeddingList({ ...request, base64: true, dimensions: 1 }, [[0.6, 0.8]], 2)) as { data: { embedding: string }[] }
  expect(Buffer.from(encoded.data[0]?.embedding ?? '', 'base64').readFloatLE()).toBe(1)
  expect(() => shortened([1, 0], 3)).toThrow('at most 2')
})
