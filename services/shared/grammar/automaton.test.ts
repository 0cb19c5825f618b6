import { describe, expect, test } from 'vitest'
import { createAutomaton } from './automaton.ts'
import { isAlive } from './state.ts'

function reads(grammar: string, text: string, after: readonly string[] = []): boolean {
  const automaton = createAutomaton(grammar, { after })
  let state = automaton.start
  for (const byte of Buffer.from(text)) {
    state = automaton.step(state, byte)
    if (!isAlive(state)) return false
  }
  return state.ends
}

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
    ['root ::= x y\nx ::= "a"*\ny ::= "a" "b"', ['ab', 'aaaab'], ['b', 'aaa']],
    ['root ::= [^a-c"\\n]', ['d', 'é', '😀', '\t'], ['a', '\n', '"', '']],
    ['root ::= [à-ü]+', ['é', 'ü'], ['e', 'ÿ']],
    ['root ::= .', ['a', '\n', '€', '😀'], ['', 'ab']],
    ['root ::= "\\u20ac\\U0001F600\\x41"', ['€😀A'], ['€']],
    ['root ::= | "x"', ['', 'x'], ['y']],
    ['root ::= ("a"|"ab") "c"', ['ac', 'abc'], ['bc']],
  ])('%s', (grammar, taken, refused) => {
    for (const text of taken) expect(reads(grammar, text), text).toBe(true)
    for (const text of refused) expect(reads(grammar, text), text).toBe(false)
  })
})
