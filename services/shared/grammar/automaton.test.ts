import { describe, expect, test } from 'vitest'
import { createAutomaton } from './automaton.ts'
import { isAlive } from './state.ts'
import { grammarMatcher } from './testing.ts'

describe('what a grammar takes', () => {
  test.each([
    ['root ::= "a"', ['a'], ['', 'b', 'aa']],
    ['root ::= "a"*', ['', 'a', 'aaaa'], ['b', 'ab']],
    ['root ::= "a"+ "b"?', ['a', 'aab'], ['', 'b', 'abb']],
    ['root ::= "ab"{2}', ['abab'], ['ab', 'ababab']],
    ['root ::= "a"{2,4}', ['aa', 'aaa', 'aaaa'], ['a', 'aaaaa']],
    ['root ::= "a"{2,} "b"', ['aab', 'aaaaaaab'], ['ab', 'b']],
    ['root ::= ("a"?){3} "b"', ['b', 'ab', 'aaab'], ['aaaab']],
    ['root ::= ("a" | "b"{2}){2,3}', ['aa', 'abb', 'bbbb', 'abba'], ['a', 'ab', 'aaaa']],
    ['root ::= "(" root ")" | ""', ['', '()', '((()))'], ['(', '(()']],
    ['root ::= "a" root | ""', ['', 'a'.repeat(50_000)], ['b']],
    ['root ::= x\nx ::= y\ny ::= "a" x | ""', ['', 'a'.repeat(50_000)], ['b']],
    ['root ::= x y\nx ::= "a"*\ny ::= "a" "b"', ['ab', 'aaaab'], ['b', 'aaa']],
    ['root ::= [^a-c"\\n]', ['d', 'é', '😀', '\t'], ['a', '\n', '"', '']],
    ['root ::= [à-ü]+', ['é', 'ü'], ['e', 'ÿ']],
    ['root ::= .', ['a', '\n', '€', '😀'], ['', 'ab']],
    ['root ::= "\\u20ac\\U0001F600\\x41"', ['€😀A'], ['€']],
    ['root ::= | "x"', ['', 'x'], ['y']],
    ['root ::= ("a"|"ab") "c"', ['ac', 'abc'], ['bc']],
  ])('%s', (grammar, taken, refused) => {
    const takes = grammarMatcher(grammar)
    for (const text of taken) expect(takes(text), text).toBe(true)
    for (const text of refused) expect(takes(text), text).toBe(false)
  })
})

test('where no end can be reached is no way to go', () => {
  const automaton = createAutomaton('root ::= "a" ("b" | "c" x | y?)\nx ::= "d" x\ny ::= x{0,3} "e" x')
  const afterA = automaton.step(automaton.start, 0x61)
  const possible = Array.from('abcde').filter((character) => isAlive(automaton.step(afterA, character.charCodeAt(0))))
  expect(possible).toEqual(['b'])
})

describe('what comes before the grammar holds', () => {
  const takes = grammarMatcher('root ::= "x"', { after: ['<a>', '<ab>', 'a>b', 'é'] })
  test.each(['<a>x', 'anything <<a>x', '<ab<ab>x', 'a>bx', '\u0000<a<a<a>x', 'éx', '<a\u0100>é<é>a', ''])('%j', (text) => {
    expect(takes(text)).toBe(text.endsWith('x'))
  })
  test('the first text that comes is the one that counts', () => {
    expect(takes('<a>x<a>x')).toBe(false)
    expect(takes('<ab>x')).toBe(true)
    expect(takes('<a>bx')).toBe(false)
  })
})
