import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createAutomaton } from '../../shared/grammar/automaton.ts'
import { MatchError } from '../../shared/grammar/match-error.ts'
import { isAlive } from '../../shared/grammar/state.ts'
import { schemaGrammar } from '../../shared/grammar/testing.ts'
import { compileGrammar } from './compiled-grammar.ts'
import { createConstraint } from './constraint.ts'
import { createTokenTrie } from './token-trie.ts'

const grammars = [
  'root ::= "a"{3,40} "b"{2,9}',
  'root ::= ("ab" | "a" | "é"){2,300}',
  'root ::= "(" root ")" | "a" root "b" | ""',
  'root ::= (x "b"?){5,} "é"\nx ::= "a"{1,70} | "é"{2}',
  'root ::= [^a]{1,50} "a"',
  'root ::= .{0,100}',
  schemaGrammar({ type: 'object', properties: { a: { type: 'string', maxLength: 60 }, é: { type: 'array', items: { enum: ['a', 'ab', 'é(b'] }, maxItems: 30 } } }),
]
const pieces = Array.from('ab()é"{}:,[] 😀\\').map((character) => Buffer.from(character))
const bytes = [...new Set(pieces.flatMap((piece) => [...piece]))]

/** All single bytes, so that every text can be written, and tokens of some characters and bytes, halves of characters too. */
const singleBytes = bytes.map((byte) => Buffer.of(byte))
const vocabulary = fc
  .array(fc.oneof(fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 5 }).map((all) => Buffer.concat(all)), fc.array(fc.constantFrom(...bytes), { minLength: 1, maxLength: 3 }).map((all) => Buffer.from(all))), {
    minLength: 5,
    maxLength: 40,
  })
  .map((tokens) => [Buffer.alloc(0), Buffer.alloc(0)].concat(singleBytes, tokens))

const end = 0
const isEnd = (token: number) => token === end

/** What the bytes, one after the other, say. */
function plainMatcher(grammar: string, after: readonly string[]) {
  const automaton = createAutomaton(grammar, { after })
  let state = automaton.start
  const reach = (token: Uint8Array) => {
    let reached = state
    for (const byte of token) reached = automaton.step(reached, byte)
    return reached
  }
  return {
    allows: (token: number, spelling: Uint8Array) => {
      if (isEnd(token)) return state.ends || state.waiting
      return spelling.length === 0 ? state.waiting : isAlive(reach(spelling))
    },
    accept(token: Uint8Array) {
      state = reach(token)
    },
  }
}

test('both ways to ask agree with the bytes one by one, however they are cut into tokens', () => {
  let tokensCompared = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...grammars),
      fc.constantFrom<string[]>([], ['ab'], ['é(', 'éé"']),
      vocabulary,
      fc.array(fc.nat(1000), { minLength: 30, maxLength: 60 }),
      (grammar, after, tokens, choices) => {
        const trie = createTokenTrie((token) => tokens[token] ?? Buffer.alloc(0), tokens.length)
        const compiled = compileGrammar(grammar, after, trie)
        const constraint = createConstraint({ grammar, after, trie, isEnd, compiled })
        const plain = plainMatcher(grammar, after)
        for (const choice of choices) {
          const expected = tokens.map((spelling, token) => plain.allows(token, spelling))
          const forbidden = constraint.forbidden()
          expect(Array.from(forbidden, (entry) => entry === 0)).toEqual(expected)
          expect(tokens.map((_, token) => constraint.allows(token))).toEqual(expected)
          const possible = [...tokens.keys()].filter((token) => expected[token] && !isEnd(token))
          const token = possible[choice % possible.length]
          if (token === undefined) break
          constraint.accept(token)
          plain.accept(tokens[token] ?? Buffer.alloc(0))
          tokensCompared++
        }
      },
    ),
    { numRuns: 150 },
  )
  expect(tokensCompared).toBeGreaterThan(1000)
})

test('a space that begins the first token is as if it were not there', () => {
  const spellings = ['', ' ', ' a', 'a', ' b', '  a', 'b'].map((text) => Buffer.from(text))
  const trie = createTokenTrie((token) => spellings[token] ?? Buffer.alloc(0), spellings.length)
  const begin = () => createConstraint({ grammar: 'root ::= " "? "a" "b"', after: [], trie, isEnd, skipsSpace: true })
  const allowed = (constraint: ReturnType<typeof begin>) => [...constraint.forbidden().keys()].filter((token) => constraint.allows(token) && constraint.forbidden()[token] === 0)
  expect(allowed(begin())).toEqual([1, 2, 3, 5])
  const constraint = begin()
  constraint.accept(1)
  expect(allowed(constraint)).toEqual([1, 2, 3])
  constraint.accept(2)
  expect(allowed(constraint)).toEqual([6])
})

test('what is forgotten on the way changes nothing', () => {
  const grammar = 'root ::= ("a"{1,3000} "b"){2,9000}'
  const tokens = ['', 'a', 'b', 'aa', 'ab', 'ba'].map((text) => Buffer.from(text))
  const trie = createTokenTrie((token) => tokens[token] ?? Buffer.alloc(0), tokens.length)
  const compiled = compileGrammar(grammar, [], trie)
  const others = [0, 1].map(() => createConstraint({ grammar, after: [], trie, isEnd, compiled }))
  for (let index = 0; index < 30_000; index++) {
    const token = index % 50 === 49 ? 4 : index % 7 === 0 ? 3 : 1
    for (const constraint of others) {
      expect(constraint.allows(token)).toBe(true)
      constraint.accept(token)
    }
  }
  expect(Array.from(others[0]?.forbidden() ?? [])).toEqual([0, 0, 1, 0, 0, 1])
})

test('an ambiguity that grows with the text ends with an error, not with the memory', () => {
  const grammar = 'root ::= ("a"{0,5000} "a"{0,5000}){0,5000} "b"'
  const tokens = ['', 'a'.repeat(64), 'b', 'a'].map((text) => Buffer.from(text))
  const trie = createTokenTrie((token) => tokens[token] ?? Buffer.alloc(0), tokens.length)
  const constraint = createConstraint({ grammar, after: [], trie, isEnd })
  expect(() => {
    for (let index = 0; index < 5000; index++) {
      constraint.forbidden()
      constraint.accept(1)
    }
  }).toThrow(MatchError)
})
