import { describe, expect, test } from 'vitest'
import { MatchError } from '../../shared/grammar/match-error.ts'
import { createConstraint } from './constraint.ts'
import { createTokenTrie } from './token-trie.ts'

const vocabulary = ['', 'a', 'b', 'ab', 'aab', '<t>', '<t', '>a', 'é', 'b<t>a', 'b<t>b', '', 'a']
const end = 0
const silent = 11
const trie = createTokenTrie((token) => Buffer.from(vocabulary[token] ?? ''), vocabulary.length)

function constrain(grammar: string, after: readonly string[] = []) {
  return createConstraint({ grammar, after, trie, isEnd: (token) => token === end })
}

/** The tokens that may come next, which both ways of asking must agree on. */
function allowed(constraint: ReturnType<typeof constrain>): number[] {
  const forbidden = constraint.forbidden()
  const tokens = [...vocabulary.keys()].filter((token) => forbidden[token] === 0)
  expect([...vocabulary.keys()].filter((token) => constraint.allows(token))).toEqual(tokens)
  return tokens
}

describe('constraint', () => {
  test('tokens that fit as a whole, and the end where the grammar ends', () => {
    const constraint = constrain('root ::= "a"* "b"')
    expect(allowed(constraint)).toEqual([1, 2, 3, 4, 12])
    constraint.accept(4)
    expect(allowed(constraint)).toEqual([end])
    constraint.accept(end)
    expect(allowed(constraint)).toEqual([end])
  })
  test('anything goes before the trigger, and what follows it in its token must fit', () => {
    const constraint = constrain('root ::= "a"', ['<t>'])
    expect(allowed(constraint)).toEqual([...vocabulary.keys()].filter((token) => token !== 10))
    for (const token of [silent, 8, 6]) constraint.accept(token)
    expect(constraint.allows(10)).toBe(false)
    constraint.accept(7)
    expect(allowed(constraint)).toEqual([end])
  })
  test('a state that no token leads out of is an error', () => {
    expect(() => constrain('root ::= "x"').forbidden()).toThrow(MatchError)
  })
})
