import { describe, expect, test } from 'vitest'
import { MatchError } from '../../shared/grammar/match-error.ts'
import { createGrammarCache } from './compiled-grammar.ts'
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
  test('counts are exact at both ends, though masks are shared far from them', () => {
    const spellings = ['', 'b', ...Array.from({ length: 6 }, (_, index) => 'a'.repeat(index + 1))].map((text) => Buffer.from(text))
    const tokens = [...spellings.keys()].slice(1)
    const counted = createTokenTrie((token) => spellings[token] ?? Buffer.alloc(0), spellings.length)
    for (const grammar of ['root ::= "a"{20,40} "b"', 'root ::= ("a"{2}){9,30} "b"', 'root ::= "a"{15,} "b"', 'root ::= ("a" | "aa"){0,17} "b"']) {
      const constraint = createConstraint({ grammar, after: [], trie: counted, isEnd: (token) => token === end })
      for (let count = 0; count < 70 && constraint.allows(2); count++) {
        const forbidden = constraint.forbidden()
        expect(tokens.filter((token) => forbidden[token] === 0), `${grammar} after ${count}`).toEqual(tokens.filter(constraint.allows))
        constraint.accept(2)
      }
    }
  })
  test('compiled grammars are kept for a team, the last used ones', () => {
    const cache = createGrammarCache(trie, 2)
    const first = cache.get('a', 'root ::= "a"', [])
    expect(cache.get('b', 'root ::= "a"', [])).not.toBe(first)
    expect(cache.get('a', 'root ::= "a"', [])).toBe(first)
    expect(cache.get('a', 'root ::= "a"', ['x'])).not.toBe(first)
    expect(cache.get('a', 'root ::= "a"', [])).toBe(first)
    cache.get('a', 'root ::= "b"', [])
    cache.get('a', 'root ::= "c"', [])
    expect(cache.get('a', 'root ::= "a"', [])).not.toBe(first)
  })
  test('a state that no token leads out of is an error', () => {
    expect(() => constrain('root ::= "x"').forbidden()).toThrow(MatchError)
  })
})
