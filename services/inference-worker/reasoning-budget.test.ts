import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createReasoningBudget } from './reasoning-budget.ts'

const endTokens = [7, 8, 9]
const spelling = new Map([[7, '\n'], [8, '</th'], [9, 'ink>']])

/** What comes of a model that would say this, one piece a token: the texts, and how many tokens were of the reasoning. */
function run(pieces: readonly string[], tokens: number, begin: string): { texts: string[]; used: number } {
  const budget = createReasoningBudget({ tokens, begin, end: '</think>', endTokens })
  const texts: string[] = []
  let next = 0
  while (next < pieces.length) {
    const forced = budget.forced()
    const text = forced === undefined ? (pieces[next++] ?? '') : (spelling.get(forced) ?? '')
    texts.push(text)
    budget.push(Buffer.from(text))
  }
  return { texts, used: budget.used }
}

test('ends the reasoning at its bound, once', () => {
  const { texts, used } = run(['a', 'b', 'c', 'd', 'e'], 2, '')
  expect(texts.join('')).toBe('ab\n</think>cde')
  expect(used).toBe(2 + endTokens.length)
})

test('leaves reasoning that ends in time as it is', () => {
  expect(run(['a', '</', 'think', '>', 'answer', 'and', 'more'], 4, '')).toEqual({
    texts: ['a', '</', 'think', '>', 'answer', 'and', 'more'],
    used: 4,
  })
})

test('finds the beginning over several tokens, and an end in the same one', () => {
  expect(run(['<th', 'ink>', 'a', 'b', 'c'], 2, '<think>').texts.join('')).toBe('<think>ab\n</think>c')
  expect(run(['<think></think>', 'a', 'b', 'c'], 1, '<think>').texts.join('')).toBe('<think></think>abc')
  expect(run(['a', 'b', 'c'], 0, '<think>')).toEqual({ texts: ['a', 'b', 'c'], used: 0 })
})

const pieces = fc.array(fc.constantFrom('a', '<', '</', 'think', '>', '<think>', '</think>', 'é'), { maxLength: 30 })

test('never more tokens than the bound and the end, and nothing of the model is lost', () => {
  fc.assert(
    fc.property(pieces, fc.nat(12), fc.constantFrom('', '<think>'), (said, tokens, begin) => {
      const { texts, used } = run(said, tokens, begin)
      expect(used).toBeLessThanOrEqual(tokens + endTokens.length)
      const forcedText = '\n</think>'
      const whole = texts.join('')
      const forced = texts.includes('\n')
      expect(forced ? whole.replace(forcedText, '') : whole).toBe(said.join(''))
      if (!forced) return
      // Counted by the definition: the tokens between the beginning and what was forced.
      const before = texts.slice(0, texts.indexOf('\n'))
      const beginAt = begin === '' ? 0 : before.findIndex((_, index) => before.slice(0, index + 1).join('').includes(begin)) + 1
      expect(before.length - beginAt).toBe(tokens)
      expect(before.slice(beginAt).join('').includes('</think>')).toBe(false)
    }),
    { numRuns: 2000 },
  )
})
