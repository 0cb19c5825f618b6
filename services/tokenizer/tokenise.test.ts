import { describe, expect, test } from 'vitest'
import { sliceEnd, tokenisePieces, type TokeniseOptions } from './tokenise.ts'
import type { SpecialToken } from './vocabulary.ts'

const end: SpecialToken = { id: 7, text: '</s>', control: true, stripLeft: false, stripRight: false }

/** One token a character, and what it was asked. */
function vocabulary(addsSpace = false): { asked: string[]; options: (more?: Partial<TokeniseOptions>) => TokeniseOptions } {
  const asked: string[] = []
  const tokenise = (text: string): number[] => {
    asked.push(text)
    return Array.from(text, (character) => character.codePointAt(0) ?? 0)
  }
  return {
    asked,
    options: (more = {}) => ({
      vocabulary: { tokenise, addsSpace },
      fixed: new Map(),
      limit: Infinity,
      signal: new AbortController().signal,
      ...more,
    }),
  }
}

describe('tokenisePieces', () => {
  test('texts, special tokens and the texts known beforehand', async () => {
    const { asked, options } = vocabulary()
    const fixed = new Map([['\n', [100, 101]]])
    const tokens = await tokenisePieces(['ab', end, '\n', end, 'c'], options({ fixed }))
    expect(tokens).toEqual({ ids: [97, 98, 7, 100, 101, 7, 99], complete: true })
    expect(asked).toEqual(['ab', 'c'])
  })

  test('a long text is cut between words and nothing of it is lost', async () => {
    const { asked, options } = vocabulary()
    const text = 'the quick brown fox '.repeat(5000)
    const { ids } = await tokenisePieces([text], options())
    expect(ids).toHaveLength(text.length)
    expect(asked.join('')).toBe(text)
    for (const slice of asked) {
      expect(slice.length).toBeLessThanOrEqual(8192)
      expect(slice.length === text.length || slice === asked.at(-1) || /[a-z]$/.test(slice)).toBe(true)
    }
  })

  test('where the vocabulary puts the space itself, it is left out between two slices', async () => {
    const { asked, options } = vocabulary(true)
    const text = 'the quick brown fox '.repeat(1000)
    await tokenisePieces([text], options())
    expect(asked.length).toBeGreaterThan(2)
    expect(asked.join(' ')).toBe(text)
  })

  test('a long text is given up at the limit', async () => {
    const { asked, options } = vocabulary()
    const { ids, complete } = await tokenisePieces(['a'.repeat(100_000)], options({ limit: 10_000 }))
    expect(complete).toBe(false)
    expect(ids.length).toBeGreaterThan(10_000)
    expect(asked.join('').length).toBeLessThan(30_000)
    expect(await tokenisePieces(['a'.repeat(100)], options({ limit: 10 }))).toMatchObject({ complete: true })
  })

  test('lets the event loop turn, also between many short texts', async () => {
    const { options } = vocabulary()
    for (const pieces of [['a'.repeat(50_000)], Array.from({ length: 5000 }, () => 'a')]) {
      let turned = false
      setImmediate(() => {
        turned = true
      })
      // oxlint-disable-next-line no-await-in-loop -- each is to begin in its own turn
      await tokenisePieces(pieces, options())
      expect(turned).toBe(true)
    }
  })

  test('stops when the call is cancelled', async () => {
    const { asked, options } = vocabulary()
    const abort = new AbortController()
    const pending = tokenisePieces(['a'.repeat(100_000)], options({ signal: abort.signal }))
    abort.abort()
    await expect(pending).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(asked.join('').length).toBeLessThan(30_000)
  })
})

describe('sliceEnd', () => {
  test('never between the halves of a surrogate pair', () => {
    const text = `a${'😀'.repeat(8192)}`
    expect(sliceEnd(text, 0)).toBe(8191)
    expect(sliceEnd(text, 1)).toBe(8193)
  })

  test('a text without words is cut all the same', () => {
    expect(sliceEnd('-'.repeat(20_000), 0)).toBe(8192)
    expect(sliceEnd('-'.repeat(8192), 0)).toBe(8192)
    expect(sliceEnd(`${'a'.repeat(8000)} ${'b'.repeat(9000)}`, 0)).toBe(8000)
  })
})
