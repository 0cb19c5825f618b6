import fc from 'fast-check'
import { Check } from 'typebox/value'
import { expect, test } from 'vitest'
import type { ServiceError } from '../../../shared/errors.ts'
import { parseRerankRequest } from './request.ts'
import { Reranking, reranking } from './response.ts'

const body = { model: 'm', query: 'q', documents: ['a', { text: 'b' }] }

test('documents are texts or objects with one', () => {
  expect(parseRerankRequest(body)).toEqual({ model: 'm', query: 'q', documents: ['a', 'b'], topN: 2, returnDocuments: false, unknown: [] })
  expect(parseRerankRequest({ ...body, documents: [{ text: 'a', title: 't' }] }).unknown).toEqual(['documents[0].title'])
})

test.each<[object, string]>([
  [{ model: '' }, 'model'],
  [{ query: undefined }, 'query'],
  [{ query: ['q'] }, 'query'],
  [{ documents: 'a' }, 'documents'],
  [{ documents: [] }, 'documents'],
  [{ documents: [''] }, 'documents[0]'],
  [{ documents: [{ title: 'a' }] }, 'documents[0]'],
  [{ documents: Array.from({ length: 1001 }, () => 'a') }, 'documents'],
  [{ top_n: 0 }, 'top_n'],
  [{ truncation: true }, 'truncation'],
  [{ use_activation: false }, 'use_activation'],
])('%j is refused', (change, param) => {
  let thrown: unknown
  try {
    parseRerankRequest(JSON.parse(JSON.stringify({ ...body, ...change })))
  } catch (error) {
    thrown = error
  }
  expect((thrown as ServiceError).param?.startsWith(param)).toBe(true)
})

test('the results are the best ones in order, each with its own document', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 }), fc.integer({ min: 1, max: 20 }), fc.boolean(), (scores, topN, returnDocuments) => {
      const documents = scores.map((_, index) => `d${index}`)
      const answer: unknown = JSON.parse(reranking({ model: 'm', query: 'q', documents, topN, returnDocuments, unknown: [] }, scores, 7, 'r'))
      if (!Check(Reranking, answer)) throw new Error('not of its own schema')
      const { results } = answer
      expect(results).toHaveLength(Math.min(topN, scores.length))
      const told = new Set(results.map(({ index }) => index))
      expect(told.size).toBe(results.length)
      const least = results.at(-1)?.relevance_score ?? 0
      for (const [index, score] of scores.entries()) if (!told.has(index)) expect(score).toBeLessThanOrEqual(least)
      for (const [place, result] of results.entries()) {
        expect(result.relevance_score).toBe(scores[result.index])
        expect(result.relevance_score).toBeLessThanOrEqual(results[place - 1]?.relevance_score ?? 1)
        expect(result.document?.text).toBe(returnDocuments ? `d${result.index}` : undefined)
      }
    }),
  )
})
