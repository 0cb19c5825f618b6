import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { upstreamEnd, upstreamVocabulary } from '../../../../test/support/scripted-upstream.ts'
import { createTokenSplitter } from './token-splitter.ts'

const { texts, vocabularySize } = upstreamVocabulary
const splitter = createTokenSplitter({ texts, vocabularySize, isEndOfGeneration: (token) => token === upstreamEnd })
const bytesOf = (tokens: readonly number[]): Buffer => Buffer.concat(tokens.map((token) => texts.text(token)))

describe('the tokens of bytes', () => {
  test('are as long as can be', () => {
    const tokens = splitter.split(Buffer.from('hello')) ?? []
    expect(tokens.map((token) => Buffer.from(texts.text(token)).toString())).toEqual(['he', 'll', 'o'])
  })

  test('are as many as there were, where there are such, and else give the bytes all the same', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: upstreamEnd - 1 }), { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 30 }), (drawn, count) => {
        const bytes = bytesOf(drawn)
        expect(splitter.split(bytes, drawn.length)).toHaveLength(drawn.length)
        expect(bytesOf(splitter.split(bytes, drawn.length) ?? [])).toEqual(bytes)
        expect(bytesOf(splitter.split(bytes, count) ?? [])).toEqual(bytes)
      }),
    )
  })

  test('are none for no bytes, and unknown for what no tokens are', () => {
    expect(splitter.split(new Uint8Array(0))).toEqual([])
    expect(splitter.split(new Uint8Array(0), 2)).toBeUndefined()
    const few = createTokenSplitter({ texts, vocabularySize: 100, isEndOfGeneration: () => false })
    expect(few.split(Buffer.from('~'))).toBeUndefined()
    expect(splitter.split(new Uint8Array(10_000))).toBeUndefined()
  })

  test('are looked for no longer than is worth while', () => {
    const begin = performance.now()
    expect(bytesOf(splitter.split(Buffer.from('ab'.repeat(1000)), 1999) ?? []).length).toBe(2000)
    expect(performance.now() - begin).toBeLessThan(2000)
  })
})
